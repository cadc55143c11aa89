//! The grammars of names in a topology: slugs, hosts and province codes.

/// Longest slug, in characters: a slug becomes a label of a DNS name (RFC 1035 allows 63) with room for a suffix.
pub(crate) const SLUG_CHARS_MAX: usize = 40;

/// Longest host name, in characters (RFC 1035, section 2.3.4, without the length octets).
pub(crate) const HOST_CHARS_MAX: usize = 253;

/// The rule for names of clusters, sites and nodes, worded for a fault.
pub const SLUG_RULE: &str =
    "must be 1 to 40 of a-z, 0-9 and '-', and neither start nor end with '-'";

/// The rule for hosts, worded for a fault.
pub(crate) const HOST_RULE: &str = "must be an IP address or a DNS name";

/// The rule for province codes, worded for a fault.
pub(crate) const PROVINCE_RULE: &str =
    "must be a two-digit province code of the General Statistics Office, quoted, such as \"40\"";

/// Whether the text is a name for a cluster, a site or a node.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= SLUG_CHARS_MAX
        && text.bytes().all(known)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether the text is an IP address or a DNS name (RFC 1123 labels).
#[must_use]
pub fn is_host(text: &str) -> bool {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    // All digits and dots would be read as an address by every resolver; a wrong one is no name.
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return false;
    }
    text.len() <= HOST_CHARS_MAX && text.split('.').all(is_label)
}

/// The rule for endpoints, worded for a fault.
pub const ENDPOINT_RULE: &str =
    "must be host:port, with an IP address or a DNS name and a port from 1 to 65535";

/// Whether the text is `host:port`; an IPv6 address stands in brackets.
#[must_use]
pub fn is_endpoint(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn is_label(label: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(known)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether the text has the form of a province code: two digits. Whether the province exists is asked of the
/// administrative units in `domain`, by the caller that has them.
pub(crate) fn is_province(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_lower_case_labels() {
        assert!(is_slug("nghe-an-1"));
        for wrong in ["", "-a", "a-", "Nghe", "nghệ-an", "a_b", &"a".repeat(41)] {
            assert!(!is_slug(wrong), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_addresses_or_names() {
        for right in ["127.0.4.1", "::1", "nghe-an-1.banyan.internal", "localhost"] {
            assert!(is_host(right), "{right}");
        }
        for wrong in ["", "127.0.4", "300.1.1.1", "a..b", "-a.b", "a b"] {
            assert!(!is_host(wrong), "{wrong}");
        }
    }

    #[test]
    fn province_codes_are_two_digits() {
        assert!(is_province("01"));
        assert!(!is_province("1"));
        assert!(!is_province("001"));
    }
}
