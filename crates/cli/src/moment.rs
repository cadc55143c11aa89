//! Times as people and programs read them: Viet Nam's clock on the terminal, UTC in JSON.

use time::macros::{format_description, offset};
use time::{OffsetDateTime, UtcOffset};

/// Viet Nam has one time zone and no summer time.
const VIET_NAM: UtcOffset = offset!(+7);

/// A replicated time as Viet Nam's clock shows it, for instance `2026-11-22 20:15:07`.
pub(crate) fn local(milliseconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    at(milliseconds)
        .and_then(|moment| moment.to_offset(VIET_NAM).format(format).ok())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// A replicated time in ISO 8601, UTC, to the millisecond.
pub(crate) fn iso(milliseconds: i64) -> Option<String> {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at(milliseconds).and_then(|moment| moment.format(format).ok())
}

/// Zero stands for "nothing yet" in the protocol.
fn at(milliseconds: i64) -> Option<OffsetDateTime> {
    if milliseconds == 0 {
        return None;
    }
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_on_both_clocks() {
        let moment = 1_700_000_000_123;
        assert_eq!(local(moment), "2023-11-15 05:13:20");
        assert_eq!(iso(moment).as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(local(0), "unknown");
        assert_eq!(iso(0), None);
    }
}
