//! Good and bad UTF-8 (RFC 3629 §3, §4).

/// Whether a name of [`words`] says that its bytes are good.
pub(super) fn is_good(name: &str) -> bool {
    name.starts_with("good")
}

/// Names and bytes.
pub(super) fn words() -> Vec<(String, Vec<u8>)> {
    let mut words = Vec::new();
    // The first and last character of each length, around the surrogates, and those that are
    // characters though nobody may exchange them.
    for code in [
        0, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xcfff, 0xd7ff, 0xe000, 0xfdd0, 0xfffd, 0xfffe,
        0xffff, 0x1_0000, 0x1_fffe, 0x3_ffff, 0x4_0000, 0xf_ffff, 0x10_0000, 0x10_fffe, 0x10_ffff,
    ] {
        let character = char::from_u32(code).expect("none of these is a surrogate");
        let around = format!("a{character}b");
        words.push((format!("good U+{code:04X}"), character.to_string().into_bytes()));
        words.push((format!("good U+{code:04X} among others"), around.into_bytes()));
    }
    words.push(("good Greek and more".into(), "κόσμε grüß 你好 😀".into()));
    let mut bad = |name: &str, bytes: &[u8]| {
        words.push((format!("bad {name}: {bytes:02x?}"), bytes.to_vec()));
        let among = [b"a", bytes, b"b"].concat();
        words.push((format!("bad {name} among others: {bytes:02x?}"), among));
    };
    for byte in (0x80..=0xff).step_by(3).chain([0xbf, 0xc0, 0xc1, 0xf4, 0xf5, 0xfe, 0xff]) {
        bad("byte alone", &[byte]);
    }
    for count in 2..8 {
        bad("continuations alone", &[0x80, 0xbf].repeat(count)[..count]);
    }
    for cut in ["ß", "€", "\u{ffff}", "😀", "\u{10ffff}"] {
        for end in 1..cut.len() {
            bad("character cut short", &cut.as_bytes()[..end]);
        }
    }
    for overlong in [
        &b"\xc0\xaf"[..],
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf8\x80\x80\x80\xaf",
        b"\xfc\x80\x80\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf8\x87\xbf\xbf\xbf",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xf0\x80\x80\x80",
    ] {
        bad("longer than it must be", overlong);
    }
    for surrogate in [0xa080_u16, 0xadbf, 0xaebf, 0xafbf, 0xb080, 0xbe80, 0xbfbf] {
        let [two, three] = surrogate.to_be_bytes();
        bad("surrogate", &[0xed, two, three]);
        bad("pair of surrogates", &[0xed, 0xa0, 0x80, 0xed, two | 0x10, three]);
    }
    for beyond in [&b"\xf4\x90\x80\x80"[..], b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf"] {
        bad("beyond the last", beyond);
    }
    words
}
