//! A node as the client addresses it: a name and a URL.

/// A node that the client can call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Name of the node, or its URL where the context gives no name.
    pub name: String,
    /// `https://host:port`.
    pub url: String,
}

impl Target {
    /// The site that the name speaks of: `nghe-an` for `nghe-an-1`. `None` for a name of another form.
    #[must_use]
    pub fn site(&self) -> Option<&str> {
        let (site, number) = self.name.rsplit_once('-')?;
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        (digits && !site.is_empty()).then_some(site)
    }
}

/// The text is not the URL of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// It does not parse.
    #[error("`{0}` is not a URL")]
    Syntax(String),
    /// It is not `https`: there is no plaintext mode.
    #[error("`{0}` does not start with https://")]
    NotHttps(String),
    /// It lacks a host or a port.
    #[error("`{0}` lacks a host or a port")]
    Incomplete(String),
    /// It has a path or a query.
    #[error("`{0}` has a path; only https://host:port is wanted")]
    Path(String),
}

/// The one form of a URL that the client compares: lower case, no slash at the end.
pub(crate) fn normal_url(text: &str) -> Result<String, UrlFault> {
    let uri: tonic::transport::Uri = text
        .parse()
        .map_err(|_| UrlFault::Syntax(text.to_owned()))?;
    if uri.scheme_str() != Some("https") {
        return Err(UrlFault::NotHttps(text.to_owned()));
    }
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
        return Err(UrlFault::Incomplete(text.to_owned()));
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(UrlFault::Path(text.to_owned()));
    }
    Ok(format!("https://{}:{port}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_brought_to_one_form() {
        assert_eq!(
            normal_url("https://Node.Example:7501/").unwrap(),
            "https://node.example:7501"
        );
        assert_eq!(
            normal_url("https://[::1]:7501").unwrap(),
            "https://[::1]:7501"
        );
    }

    #[test]
    fn plaintext_and_incomplete_urls_are_refused() {
        assert!(matches!(
            normal_url("http://127.0.0.1:1"),
            Err(UrlFault::NotHttps(_))
        ));
        assert!(matches!(
            normal_url("https://127.0.0.1"),
            Err(UrlFault::Incomplete(_))
        ));
        assert!(matches!(
            normal_url("https://h:1/a"),
            Err(UrlFault::Path(_))
        ));
        assert!(matches!(
            normal_url("central-1"),
            Err(UrlFault::NotHttps(_))
        ));
    }

    #[test]
    fn site_is_the_name_without_its_number() {
        let named = |name: &str| Target {
            name: name.to_owned(),
            url: String::new(),
        };
        assert_eq!(named("nghe-an-1").site(), Some("nghe-an"));
        assert_eq!(named("https://127.0.0.1:7501").site(), None);
        assert_eq!(named("da-nang").site(), None);
    }
}
