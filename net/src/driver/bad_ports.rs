//! Ports that browsers connect to for no page.

/// The bad ports of the fetch standard (<https://fetch.spec.whatwg.org/#port-blocking>), in order.
const BAD_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10_080,
];

/// Whether browsers refuse to open a websocket to this port.
pub(super) fn is_bad(port: u16) -> bool {
    BAD_PORTS.binary_search(&port).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_names_no_usual_port() {
        assert!(BAD_PORTS.is_sorted_by(|a, b| a < b));
        for bad in [1, 22, 2049, 4190, 5060, 5061, 6000, 6566, 6665, 6669, 6679, 6697, 10_080] {
            assert!(is_bad(bad), "{bad}");
        }
        for good in [80, 443, 3000, 5000, 5173, 6001, 8000, 8080, 8443, 10_081, 49_152] {
            assert!(!is_bad(good), "{good}");
        }
    }
}
