//! Leaves of the configuration file: each function gives a value its type or notes the fault and goes on.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::fault::ConfigFault;

/// A number of bytes. Written in a file as `"64 MiB"`, or as a bare integer of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

impl ByteCount {
    /// `count` mebibytes.
    #[must_use]
    pub const fn mebibytes(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The number as a `usize`, capped where the platform's is smaller.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let number: u64 = text[..digits].parse().ok()?;
        let factor: u64 = match text[digits..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        number.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// Reads leaves and gathers what is wrong with them.
pub(super) struct Reader<'a> {
    /// Relative paths of the file start here.
    pub(super) base: &'a Path,
    pub(super) faults: Vec<ConfigFault>,
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, key: &str, value: Option<&Value>, rule: impl Into<String>) {
        self.faults.push(ConfigFault::new(key, value, rule));
    }

    pub(super) fn text(&mut self, key: &str, value: Option<&Value>) -> Option<String> {
        match value {
            None => {
                self.fault(key, None, "is required");
                None
            }
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(other) => {
                self.fault(key, Some(other), "must be a string that is not empty");
                None
            }
        }
    }

    pub(super) fn path(&mut self, key: &str, value: Option<&Value>) -> Option<PathBuf> {
        self.text(key, value).map(|text| self.base.join(text))
    }

    pub(super) fn bytes(
        &mut self,
        key: &str,
        value: Option<&Value>,
        default: ByteCount,
        bounds: RangeInclusive<ByteCount>,
    ) -> ByteCount {
        let Some(value) = value else { return default };
        let parsed = match value {
            Value::Integer(number) => u64::try_from(*number).ok().map(ByteCount),
            Value::String(text) => ByteCount::parse(text),
            _ => None,
        };
        match parsed {
            Some(count) if bounds.contains(&count) => count,
            Some(_) => {
                let rule = format!("must be from {} to {}", bounds.start(), bounds.end());
                self.fault(key, Some(value), rule);
                default
            }
            None => {
                self.fault(
                    key,
                    Some(value),
                    "must be a number of bytes such as \"64 MiB\"",
                );
                default
            }
        }
    }

    pub(super) fn duration(
        &mut self,
        key: &str,
        value: Option<&Value>,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = value else { return default };
        match value
            .as_str()
            .and_then(|text| humantime::parse_duration(text).ok())
        {
            Some(duration) if bounds.contains(&duration) => duration,
            Some(_) => {
                let rule = format!(
                    "must be from {} to {}",
                    humantime::format_duration(*bounds.start()),
                    humantime::format_duration(*bounds.end())
                );
                self.fault(key, Some(value), rule);
                default
            }
            None => {
                self.fault(
                    key,
                    Some(value),
                    "must be a time such as \"30s\" or \"500ms\"",
                );
                default
            }
        }
    }

    pub(super) fn count(
        &mut self,
        key: &str,
        value: Option<&Value>,
        default: usize,
        bounds: RangeInclusive<usize>,
    ) -> usize {
        let Some(value) = value else { return default };
        match value
            .as_integer()
            .and_then(|number| usize::try_from(number).ok())
        {
            Some(count) if bounds.contains(&count) => count,
            _ => {
                let rule = format!(
                    "must be a whole number from {} to {}",
                    bounds.start(),
                    bounds.end()
                );
                self.fault(key, Some(value), rule);
                default
            }
        }
    }

    pub(super) fn address(&mut self, key: &str, value: Option<&Value>) -> Option<SocketAddr> {
        let value = value?;
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            self.fault(
                key,
                Some(value),
                "must be an address with a port such as \"127.0.0.1:7501\"",
            );
        }
        parsed
    }

    /// One of a few words; the first is the default.
    pub(super) fn word(
        &mut self,
        key: &str,
        value: Option<&Value>,
        words: &[&'static str],
    ) -> &'static str {
        let Some(value) = value else { return words[0] };
        match value
            .as_str()
            .and_then(|text| words.iter().find(|word| **word == text))
        {
            Some(word) => word,
            None => {
                let rule = format!("must be one of: {}", words.join(", "));
                self.fault(key, Some(value), rule);
                words[0]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_are_read_and_written_in_binary_units() {
        assert_eq!(ByteCount::parse("64 MiB"), Some(ByteCount::mebibytes(64)));
        assert_eq!(ByteCount::parse("1GiB"), Some(ByteCount(1 << 30)));
        assert_eq!(ByteCount::parse("17"), Some(ByteCount(17)));
        assert_eq!(ByteCount::parse("64 MB"), None);
        assert_eq!(ByteCount::parse("-1"), None);
        assert_eq!(ByteCount::parse("99999999999 TiB"), None);
        assert_eq!(ByteCount::mebibytes(64).to_string(), "64 MiB");
        assert_eq!(ByteCount(1500).to_string(), "1500 B");
    }
}
