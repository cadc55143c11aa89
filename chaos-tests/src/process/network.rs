//! The network between the nodes, and what can be wrong with it: the same words for namespaces and for proxies.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::OsString;

use anyhow::Result;

use super::namespaces::Namespaces;
use super::preload::Preloaded;
use super::proxies::Proxies;

/// What is wrong with one direction between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing arrives, and nobody is told.
    Cut,
    /// So many of a hundred packets are lost; behind proxies, of a hundred pieces of a stream, and the connection with each.
    Lossy { percent: u8 },
}

/// What is wrong with the whole network: nothing, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Weather {
    /// By sender, then receiver.
    links: BTreeMap<(String, String), Trouble>,
    /// Nodes whose way out to the other nodes is slow, with what it carries in kbit/s.
    slow: BTreeMap<String, u32>,
}

impl Weather {
    /// All directions from one of the first nodes to one of the second. A cut is not made less by a loss.
    pub(super) fn trouble(&mut self, from: &[String], to: &[String], trouble: Trouble) {
        for sender in from {
            for receiver in to.iter().filter(|receiver| *receiver != sender) {
                let link = self.links.entry((sender.clone(), receiver.clone()));
                let now = link.or_insert(trouble);
                if trouble == Trouble::Cut {
                    *now = trouble;
                }
            }
        }
    }

    pub(super) fn slow(&mut self, nodes: &[String], kilobits: u32) {
        for node in nodes {
            self.slow.insert(node.clone(), kilobits);
        }
    }

    pub(super) fn of_link(&self, from: &str, to: &str) -> Option<Trouble> {
        self.links.get(&(from.to_owned(), to.to_owned())).copied()
    }

    /// What is wrong with what comes in at a node, by sender.
    pub(super) fn towards<'a>(
        &'a self,
        to: &'a str,
    ) -> impl Iterator<Item = (&'a str, Trouble)> + 'a {
        self.links
            .iter()
            .filter(move |((_, receiver), _)| receiver == to)
            .map(|((sender, _), trouble)| (sender.as_str(), *trouble))
    }

    pub(super) fn kilobits(&self, node: &str) -> Option<u32> {
        self.slow.get(node).copied()
    }
}

/// The network of a run.
pub(super) enum Network {
    Namespaces(Namespaces),
    Proxies(Proxies),
}

impl Network {
    /// Makes the network as bad as that, and no worse.
    ///
    /// # Errors
    /// What a program of the system said.
    pub(super) fn set(&mut self, weather: &Weather) -> Result<()> {
        match self {
            Network::Namespaces(namespaces) => namespaces.set(weather),
            Network::Proxies(proxies) => {
                proxies.set(weather);
                Ok(())
            }
        }
    }

    /// What a node's command begins with.
    pub(super) fn wrapper(&self, node: &str) -> Vec<OsString> {
        match self {
            Network::Namespaces(namespaces) => namespaces.wrapper(node),
            Network::Proxies(_) => Vec::new(),
        }
    }

    /// What a node has preloaded for it.
    pub(super) fn preloaded(&self, node: &str) -> Option<Preloaded> {
        match self {
            Network::Namespaces(_) => None,
            Network::Proxies(proxies) => proxies.preloaded(node),
        }
    }

    /// For the report.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Network::Namespaces(_) => "namespaces",
            Network::Proxies(_) => "proxies",
        }
    }
}

/// All nodes but those.
pub(super) fn all_but(all: &[String], those: &[String]) -> Vec<String> {
    let those: BTreeSet<&String> = those.iter().collect();
    all.iter()
        .filter(|node| !those.contains(node))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_stays_where_a_loss_is_added_and_directions_are_apart() {
        let node = |name: &str| vec![name.to_owned()];
        let mut weather = Weather::default();
        weather.trouble(&node("a"), &node("b"), Trouble::Cut);
        weather.trouble(&node("a"), &node("b"), Trouble::Lossy { percent: 5 });
        weather.trouble(&node("a"), &node("a"), Trouble::Cut);
        assert_eq!(weather.of_link("a", "b"), Some(Trouble::Cut));
        assert_eq!(weather.of_link("b", "a"), None);
        assert_eq!(weather.of_link("a", "a"), None);
        assert_eq!(
            weather.towards("b").collect::<Vec<_>>(),
            [("a", Trouble::Cut)]
        );
    }
}
