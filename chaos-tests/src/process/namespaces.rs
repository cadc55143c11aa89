//! Nodes in network namespaces of their own.
//!
//! ```text
//! <run>-hub       a bridge, one port for each node
//! <run>-<node>    `peers`: the node's address, to the bridge;  `clients`: a way of its own to the clients
//! <run>-clients   this program, with one way to each node
//! ```
//! What is cut, lost or slowed is at `peers`, so that clients reach every node that runs, as operators in the node's building would.
//! Nothing is made in the namespace that the run is started from. Each node has a namespace, not each site: only then do two nodes of one site
//! send from addresses of their own, and can one of them be cut off alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;

use anyhow::{Context, Result};
use banyan_topology::Topology;
use nix::sched::{CloneFlags, setns};

use super::name::RunName;
use super::network::{Trouble, Weather};
use super::tools;

/// Where `ip netns` keeps names.
pub(super) const NAMES: &str = "/run/netns";
const HUB: &str = "hub";
const CLIENTS: &str = "clients";
/// The clients' address on all of their ways.
const CLIENTS_ADDRESS: &str = "10.78.0.1";
/// What a slow way holds before it drops, in milliseconds of sending.
const SLOW_QUEUE_MS: u32 = 300;
const SLOW_BURST_BYTES: u32 = 16_000;

/// The namespaces of one run; removed when this is dropped.
pub(super) struct Namespaces {
    run: RunName,
    /// Addresses by node.
    addresses: BTreeMap<String, String>,
    /// Nodes whose rules are not empty.
    ruled: BTreeSet<String>,
    slowed: BTreeSet<String>,
}

/// The address of a node in its namespace: sites and nodes of a site by their order.
pub(super) fn addresses(topology: &Topology) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (site, place) in topology.sites().iter().enumerate() {
        for (node, member) in topology.nodes_at(place.name()).enumerate() {
            let address = format!("10.77.{}.{}", site + 1, node + 1);
            found.insert(member.name().to_owned(), address);
        }
    }
    found
}

impl Namespaces {
    /// Makes the namespaces, and moves the calling thread to that of the clients: threads that it starts are there, too.
    ///
    /// # Errors
    /// What is missing or not allowed; what was made is removed again.
    pub(super) fn create(run: RunName, topology: &Topology) -> Result<Namespaces> {
        if let Some(missing) = tools::missing(&tools::OF_NAMESPACES) {
            anyhow::bail!("not installed: {missing}");
        }
        let made = Namespaces {
            run,
            addresses: addresses(topology),
            ruled: BTreeSet::new(),
            slowed: BTreeSet::new(),
        };
        made.make_hub()?;
        for (index, (node, address)) in made.addresses.iter().enumerate() {
            made.make_node(index, node, address)?;
        }
        made.enter()?;
        Ok(made)
    }

    fn make_hub(&self) -> Result<()> {
        let (hub, clients) = (self.full(HUB), self.full(CLIENTS));
        for name in [&hub, &clients] {
            tools::call("ip", &["netns", "add", name])?;
            up(name, "lo")?;
        }
        tools::call(
            "ip",
            &["-n", &hub, "link", "add", "bridge", "type", "bridge"],
        )?;
        up(&hub, "bridge")?;
        let address = format!("{CLIENTS_ADDRESS}/32");
        tools::call(
            "ip",
            &["-n", &clients, "addr", "add", &address, "dev", "lo"],
        )
    }

    fn make_node(&self, index: usize, node: &str, address: &str) -> Result<()> {
        let (hub, clients, own) = (self.full(HUB), self.full(CLIENTS), self.full(node));
        // Names of interfaces are short: 15 bytes.
        let port = format!("port{index}");
        tools::call("ip", &["netns", "add", &own])?;
        up(&own, "lo")?;
        pair(&own, "peers", &hub, &port)?;
        tools::call(
            "ip",
            &["-n", &hub, "link", "set", &port, "master", "bridge"],
        )?;
        pair(&own, "clients", &clients, &port)?;
        let wide = format!("{address}/16");
        tools::call("ip", &["-n", &own, "addr", "add", &wide, "dev", "peers"])?;
        for (namespace, interface) in [
            (&hub, port.as_str()),
            (&own, "peers"),
            (&clients, &port),
            (&own, "clients"),
        ] {
            up(namespace, interface)?;
        }
        let way = ["route", "add", CLIENTS_ADDRESS, "dev", "clients"];
        tools::call("ip", &[&["-n", own.as_str()], &way[..]].concat())?;
        let back = [
            "route",
            "add",
            address,
            "dev",
            &port,
            "src",
            CLIENTS_ADDRESS,
        ];
        tools::call("ip", &[&["-n", clients.as_str()], &back[..]].concat())
    }

    fn enter(&self) -> Result<()> {
        let path = format!("{NAMES}/{}", self.full(CLIENTS));
        let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter the clients' namespace")
    }

    fn full(&self, part: &str) -> String {
        format!("{}-{part}", self.run)
    }

    pub(super) fn wrapper(&self, node: &str) -> Vec<OsString> {
        // `ip netns exec` would make a mount namespace, too, in which a file system that is mounted later is not seen.
        let path = format!("--net={NAMES}/{}", self.full(node));
        vec!["nsenter".into(), path.into(), "--".into()]
    }

    pub(super) fn set(&mut self, weather: &Weather) -> Result<()> {
        let nodes: Vec<String> = self.addresses.keys().cloned().collect();
        for node in nodes {
            self.set_rules(&node, weather)?;
            self.set_pace(&node, weather.kilobits(&node))?;
        }
        Ok(())
    }

    fn set_rules(&mut self, node: &str, weather: &Weather) -> Result<()> {
        let mut rules = String::new();
        for (sender, trouble) in weather.towards(node) {
            let Some(address) = self.addresses.get(sender) else {
                continue;
            };
            let _ = match trouble {
                Trouble::Cut => writeln!(rules, "ip saddr {address} drop"),
                Trouble::Lossy { percent } => {
                    writeln!(
                        rules,
                        "ip saddr {address} numgen random mod 100 < {percent} drop"
                    )
                }
            };
        }
        if rules.is_empty() && !self.ruled.remove(node) {
            return Ok(());
        }
        if !rules.is_empty() {
            self.ruled.insert(node.to_owned());
        }
        // Made and deleted first, so that the whole is one transaction whether there was a table or not.
        let text = format!(
            "table ip chaos\ndelete table ip chaos\ntable ip chaos {{ chain peers {{ type filter hook input priority 0; policy accept;\n{rules}}}\n}}\n"
        );
        let path = format!("--net={NAMES}/{}", self.full(node));
        tools::call_with_input("nsenter", &[&path, "--", "nft", "-f", "-"], &text)
    }

    fn set_pace(&mut self, node: &str, kilobits: Option<u32>) -> Result<()> {
        let own = self.full(node);
        match kilobits {
            None if self.slowed.remove(node) => {
                tools::call("tc", &["-n", &own, "qdisc", "del", "dev", "peers", "root"])
            }
            None => Ok(()),
            Some(kilobits) => {
                self.slowed.insert(node.to_owned());
                let rate = format!("{kilobits}kbit");
                let burst = SLOW_BURST_BYTES.to_string();
                let queue = format!("{SLOW_QUEUE_MS}ms");
                let place = ["-n", &own, "qdisc", "replace", "dev", "peers", "root"];
                let pace = ["tbf", "rate", &rate, "burst", &burst, "latency", &queue];
                tools::call("tc", &[&place[..], &pace[..]].concat())
            }
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let parts = self.addresses.keys().map(String::as_str);
        for part in parts.chain([HUB, CLIENTS]) {
            // One that was never made is no fault; what stays is found by the next run.
            let _ = tools::call("ip", &["netns", "del", &self.full(part)]);
        }
    }
}

fn up(namespace: &str, interface: &str) -> Result<()> {
    tools::call("ip", &["-n", namespace, "link", "set", interface, "up"])
}

fn pair(one: &str, interface: &str, other: &str, peer: &str) -> Result<()> {
    let first = ["-n", one, "link", "add", interface, "type", "veth"];
    let second = ["peer", "name", peer, "netns", other];
    tools::call("ip", &[&first[..], &second[..]].concat())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const TOPOLOGY: &str = include_str!("../../../cluster/local.toml");
    const PORT: u16 = 7000;
    const PACKETS: usize = 200;

    /// A socket of a node: it stays in the namespace in which it was made.
    fn socket(namespaces: &Namespaces, node: &str) -> UdpSocket {
        let file = File::open(format!("{NAMES}/{}", namespaces.full(node))).unwrap();
        let address = namespaces.addresses[node].clone();
        let made = thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            UdpSocket::bind((address, PORT)).unwrap()
        });
        let socket = made.join().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        socket
    }

    /// How many of some packets arrive.
    fn arrive(from: &UdpSocket, to: &UdpSocket) -> usize {
        let mut arrived = 0;
        for _ in 0..PACKETS {
            from.send_to(b"x", to.local_addr().unwrap()).unwrap();
        }
        while to.recv_from(&mut [0]).is_ok() {
            arrived += 1;
        }
        arrived
    }

    #[test]
    fn weather_is_of_single_directions_and_clients_do_not_feel_it() {
        let run = RunName::own().unwrap();
        let topology = Topology::parse(TOPOLOGY).unwrap().topology;
        // On a thread of its own, which moves to the clients' namespace.
        let tried = thread::spawn(move || {
            let mut namespaces = match Namespaces::create(run, &topology) {
                Ok(namespaces) => namespaces,
                Err(error) => return crate::harness::say(&format!("not tried: {error:#}")),
            };
            let one = socket(&namespaces, "central-1");
            let other = socket(&namespaces, "central-2");
            let client = UdpSocket::bind((CLIENTS_ADDRESS, PORT)).unwrap();
            assert_eq!(arrive(&one, &other), PACKETS);

            let (from, to) = (["central-1".to_owned()], ["central-2".to_owned()]);
            let mut weather = Weather::default();
            weather.trouble(&from, &to, Trouble::Cut);
            namespaces.set(&weather).unwrap();
            assert_eq!(arrive(&one, &other), 0);
            assert_eq!(arrive(&other, &one), PACKETS);
            assert_eq!(arrive(&client, &other), PACKETS);

            let mut weather = Weather::default();
            weather.trouble(&from, &to, Trouble::Lossy { percent: 50 });
            weather.slow(&from, 8_000);
            namespaces.set(&weather).unwrap();
            let left = arrive(&one, &other);
            assert!((PACKETS / 5..PACKETS * 4 / 5).contains(&left), "{left}");

            namespaces.set(&Weather::default()).unwrap();
            assert_eq!(arrive(&one, &other), PACKETS);
        });
        tried.join().unwrap();
        let left = std::fs::read_dir(NAMES).into_iter().flatten().flatten();
        let ours = left.filter(|entry| {
            let name = entry.file_name();
            RunName::at_start_of(&name.to_string_lossy()) == Some(run)
        });
        assert_eq!(ours.count(), 0);
    }
}
