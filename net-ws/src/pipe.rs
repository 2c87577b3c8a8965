//! What tungstenite takes for its stream.

use std::io::{self, Read, Write};

use crate::meter::Meter;

/// The bytes of one input, read under the eyes of a [`Meter`]. What tungstenite writes while it
/// reads is its own answer to a ping or a close frame; we answer those ourselves, when there is
/// room, so it goes nowhere.
pub(crate) struct Pipe<'a, 'b> {
    /// What is not read yet.
    pub(crate) bytes: &'a mut &'b [u8],
    /// Sees every byte once.
    pub(crate) meter: &'a mut Meter,
}

impl Read for Pipe<'_, '_> {
    /// `WouldBlock` when all was read, `InvalidData` behind one empty fragment too many.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.meter.exceeded() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(self.bytes.len());
        let count = self.meter.walk(&self.bytes[..count]).map_or_else(|legal| legal, |()| count);
        let (now, rest) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(now);
        *self.bytes = rest;
        Ok(count)
    }
}

impl Write for Pipe<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
