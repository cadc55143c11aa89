//! Comparing the whole state of all nodes at one position.

use std::collections::BTreeMap;
use std::time::Duration;

use banyan_client::{CallError, Client};
use banyan_wire::v1;

use crate::access;
use crate::wait_for;

/// Marks that are tried: a node that was starting at the first may take part in the second.
const MARKS_MAX: usize = 3;

/// What one node says of its state at the mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeDigest {
    Ready {
        digest: Vec<u8>,
        entries: u64,
    },
    /// It could not take part, or did not say. Never counts as equal.
    Unknown {
        reason: String,
    },
}

/// All nodes' digests at one position.
#[derive(Debug, Clone)]
pub struct Comparison {
    pub position: u64,
    pub nodes: BTreeMap<String, NodeDigest>,
}

impl Comparison {
    /// Whether every node took part and all hold the same.
    pub fn equal(&self) -> bool {
        let mut nodes = self.nodes.values();
        let Some(first @ NodeDigest::Ready { .. }) = nodes.next() else {
            return false;
        };
        nodes.all(|node| node == first)
    }

    /// Whether some node could not say.
    pub fn incomplete(&self) -> bool {
        self.nodes
            .values()
            .any(|node| matches!(node, NodeDigest::Unknown { .. }))
    }

    /// Keys hashed, where the nodes agree.
    pub fn entries(&self) -> Option<u64> {
        match self.nodes.values().next()? {
            NodeDigest::Ready { entries, .. } if self.equal() => Some(*entries),
            _ => None,
        }
    }

    /// What is wrong, for people.
    pub fn explain(&self) -> String {
        let lines: Vec<String> = self
            .nodes
            .iter()
            .map(|(name, node)| match node {
                NodeDigest::Ready { digest, entries } => {
                    let start: String = digest
                        .iter()
                        .take(6)
                        .map(|byte| format!("{byte:02x}"))
                        .collect();
                    format!("{name} {start} ({entries} keys)")
                }
                NodeDigest::Unknown { reason } => format!("{name} unknown: {reason}"),
            })
            .collect();
        format!("at position {}: {}", self.position, lines.join("; "))
    }
}

/// Has every node hash its state at one position, and gathers the results.
///
/// A mark in which some node could not take part is followed by another, a few times.
///
/// # Errors
/// When no mark can be proposed.
pub async fn compare(
    operator: &Client,
    nodes: &[String],
    deadline: Duration,
) -> Result<Comparison, CallError> {
    let Some(first) = nodes.first() else {
        return Ok(Comparison {
            position: 0,
            nodes: BTreeMap::new(),
        });
    };
    let mut comparison = at_new_mark(operator, first, nodes, deadline).await?;
    for _ in 1..MARKS_MAX {
        if !comparison.incomplete() {
            break;
        }
        comparison = at_new_mark(operator, first, nodes, deadline).await?;
    }
    Ok(comparison)
}

async fn at_new_mark(
    operator: &Client,
    first: &str,
    nodes: &[String],
    deadline: Duration,
) -> Result<Comparison, CallError> {
    let position = operator.start_digest(first).await?.answer.position;
    let mut digests = BTreeMap::new();
    for node in nodes {
        digests.insert(
            node.clone(),
            of_node(operator, node, position, deadline).await,
        );
    }
    Ok(Comparison {
        position,
        nodes: digests,
    })
}

async fn of_node(operator: &Client, node: &str, position: u64, deadline: Duration) -> NodeDigest {
    let answered = wait_for::condition("the digest", deadline, async || {
        let answer = operator
            .get_digest(node, position)
            .await
            .map_err(|error| access::reason(&error))?
            .answer;
        match answer.state() {
            v1::DigestState::Ready => Ok(NodeDigest::Ready {
                digest: answer.digest.to_vec(),
                entries: answer.entries,
            }),
            v1::DigestState::Unknown => Ok(NodeDigest::Unknown {
                reason: answer.reason,
            }),
            v1::DigestState::Pending | v1::DigestState::Unspecified => {
                Err("still hashing".to_owned())
            }
        }
    })
    .await;
    answered.unwrap_or_else(|elapsed| NodeDigest::Unknown {
        reason: elapsed.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(nodes: &[NodeDigest]) -> Comparison {
        let named = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (index.to_string(), node.clone()));
        Comparison {
            position: 9,
            nodes: named.collect(),
        }
    }

    #[test]
    fn unknown_is_never_equal() {
        let ready = NodeDigest::Ready {
            digest: vec![1; 32],
            entries: 5,
        };
        let unknown = NodeDigest::Unknown {
            reason: "installed a snapshot past it".to_owned(),
        };
        assert!(comparison(&[ready.clone(), ready.clone()]).equal());
        assert!(!comparison(&[ready.clone(), unknown.clone()]).equal());
        assert!(!comparison(&[unknown.clone(), unknown]).equal());
        assert!(!comparison(&[]).equal());
        let other = NodeDigest::Ready {
            digest: vec![2; 32],
            entries: 5,
        };
        assert!(!comparison(&[ready, other]).equal());
    }
}
