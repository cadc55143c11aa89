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
    format!(
        "As {} ({}) knows it at position {}, committed {} Viet Nam time.",
        as_of.node,
        as_of.site,
        as_of.position,
        moment::local(as_of.commit_time_ms),
    )
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
        };
        let text = sentence(Some(&as_of));
        assert_eq!(
            text,
            "As nghe-an-1 (nghe-an) knows it at position 42, committed 2023-11-15 05:13:20 Viet Nam time."
        );
    }
}
