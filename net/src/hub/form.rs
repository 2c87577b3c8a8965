//! In which form a client wants the offer.

use net_rtc::Connecting;

use crate::Config;

/// The query item by which a client asks for it.
const COMPATIBLE: &str = "net=compatible";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the configuration says.
    Usual,
    /// As old as can be: the client has tried the usual form in vain.
    Compatible,
}

impl Form {
    /// Reads the query of a request; gives also what is left of it for the application.
    pub(super) fn asked(query: Option<&str>) -> (Form, Option<String>) {
        let Some(query) = query else { return (Form::Usual, None) };
        let items = || query.split('&');
        if !items().any(|item| item == COMPATIBLE) {
            return (Form::Usual, Some(query.to_owned()));
        }
        let rest: Vec<_> = items().filter(|item| *item != COMPATIBLE).collect();
        (Form::Compatible, (!rest.is_empty()).then(|| rest.join("&")))
    }

    pub(super) fn connecting(self, config: &Config) -> Connecting {
        match self {
            Form::Usual => config.connecting,
            Form::Compatible => Connecting { negotiated: false, ..Connecting::COMPATIBLE },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_the_old_form_gets_it() {
        let config = Config::default();
        assert_eq!(Form::Usual.connecting(&config), config.connecting);
        let compatible = Form::Compatible.connecting(&config);
        assert!(!compatible.negotiated, "such a client opens no channel itself");
        let but_for_that = Connecting { negotiated: true, ..compatible };
        assert_eq!(but_for_that, Connecting { negotiated: true, ..Connecting::COMPATIBLE });
    }

    #[test]
    fn exactly_one_item_asks_and_is_hidden() {
        let compatible = |rest: Option<&str>| (Form::Compatible, rest.map(str::to_owned));
        let usual = |query: &str| (Form::Usual, Some(query.to_owned()));
        assert_eq!(Form::asked(None), (Form::Usual, None));
        assert_eq!(Form::asked(Some("net=compatible")), compatible(None));
        assert_eq!(Form::asked(Some("a=1&net=compatible")), compatible(Some("a=1")));
        assert_eq!(Form::asked(Some("net=compatible&b")), compatible(Some("b")));
        for query in
            ["", "a", "net=compatible2", "xnet=compatible", "net", "net=", "NET=compatible"]
        {
            assert_eq!(Form::asked(Some(query)), usual(query));
        }
    }
}
