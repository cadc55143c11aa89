//! How fresh an answer is, in words.

use banyan_wire::v1;

use crate::moment;

/// One sentence for the foot of every read.
pub(crate) fn sentence(as_of: Option<&v1::AsOf>) -> String {
    let Some(as_of) = as_of else {
        return "The node did not say how fresh this is.".to_owned();
    };
    if as_of.position == 0 {
        return format!(
            "As {} ({}) knows it: nothing has been committed yet.",
            as_of.node, as_of.site
        );
    }
    let known = format!(
        "As {} ({}) knows it at position {}, committed {} Viet Nam time",
        as_of.node,
        as_of.site,
        as_of.position,
        moment::local(as_of.commit_time_ms),
    );
    match as_of.staleness_ms {
        Some(bound) => format!("{known}; nothing older than {} is missing.", span(bound)),
        None => {
            format!("{known}. How much newer the registry is elsewhere, this node does not know.")
        }
    }
}

fn span(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..120_000 => format!("{:.1} s", milliseconds as f64 / 1e3),
        _ => format!("{} minutes", milliseconds / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_node_site_position_and_time() {
        let as_of = v1::AsOf {
            position: 42,
            term: 1,
            commit_time_ms: 1_700_000_000_000,
            node_id: 6,
            node: "nghe-an-1".into(),
            site: "nghe-an".into(),
            staleness_ms: None,
            token: b"t".to_vec().into(),
        };
        let start = "As nghe-an-1 (nghe-an) knows it at position 42, committed 2023-11-15 05:13:20 Viet Nam time";
        let text = sentence(Some(&as_of));
        assert!(
            text.starts_with(start) && text.ends_with("does not know."),
            "{text}"
        );
        for (staleness, span) in [(7, "7 ms"), (1_500, "1.5 s"), (600_000, "10 minutes")] {
            let as_of = v1::AsOf {
                staleness_ms: Some(staleness),
                ..as_of.clone()
            };
            let text = sentence(Some(&as_of));
            assert_eq!(
                text,
                format!("{start}; nothing older than {span} is missing.")
            );
        }
    }
}
