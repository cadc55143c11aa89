//! The house rules that no compiler knows. Each check reads the tree and answers with faults; all run, always.

mod arrows;
mod documents;
mod fault;
mod manifests;
mod names;
pub(crate) mod ratchet;
mod source;
mod text;
mod tree;

pub(crate) use fault::Fault;
pub(crate) use tree::Tree;

/// A rule: from the whole tree to the places where it does not hold.
type Check = fn(&Tree) -> Vec<Fault>;

const CHECKS: &[Check] = &[
    arrows::check,
    manifests::check,
    names::check,
    text::check,
    documents::check,
    ratchet::check,
];

/// Every fault of the tree, ordered by place.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults: Vec<Fault> = CHECKS.iter().flat_map(|check| check(tree)).collect();
    faults.sort();
    faults
}
