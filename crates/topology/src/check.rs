//! From the file as written to the valid topology: every rule, every fault.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use crate::error::Fault;
use crate::model::{Node, NodeId, NodeRole, Ports, Site, SiteRole, Timing, Topology};
use crate::name::{HOST_RULE, PROVINCE_RULE, SLUG_RULE, is_host, is_province, is_slug};
use crate::raw::{RawNode, RawPorts, RawSite, RawTiming, RawTopology, Value};
use crate::survival::SurvivalGoal;

/// Longest title of a site, in characters.
const TITLE_CHARS_MAX: usize = 100;
/// Highest node id: ids are written into names, ports and certificates, and a cluster has tens of nodes.
const NODE_ID_MAX: u64 = 9_999;
/// Shortest heartbeat: below it the tick itself is late on a loaded machine.
const HEARTBEAT_MS_MIN: u64 = 10;
/// Longest election time: an hour without a leader is never meant.
const ELECTION_MS_MAX: u64 = 60_000;

/// Turns the raw file into a topology, or into every fault that it has.
pub(crate) fn check(raw: RawTopology) -> Result<Topology, Vec<Fault>> {
    let mut faults = Faults::default();
    let cluster = faults.slug("cluster.name", raw.cluster.name);
    let survival_goal = faults.spelled(
        "cluster.survival_goal",
        raw.cluster.survival_goal,
        SurvivalGoal::parse,
        SurvivalGoal::SPELLINGS,
    );
    let preferred_sites = faults
        .optional("cluster.preferred_sites", raw.cluster.preferred_sites)
        .unwrap_or_default();
    let timing = timing(raw.timing, &mut faults);
    let ports = base_ports(raw.ports, &mut faults);
    let sites: Vec<Option<Site>> = raw
        .sites
        .into_iter()
        .enumerate()
        .map(|(index, site)| check_site(index, site, &mut faults))
        .collect();
    let nodes: Vec<Option<Node>> = raw
        .nodes
        .into_iter()
        .enumerate()
        .map(|(index, node)| check_node(index, node, &ports, &sites, &mut faults))
        .collect();
    check_sites_together(&sites, &mut faults);
    check_nodes_together(&nodes, &sites, &mut faults);

    let complete = (cluster, survival_goal, timing, all(sites), all(nodes));
    let (Some(cluster), Some(survival_goal), Some(timing), Some(sites), Some(nodes)) = complete
    else {
        return Err(faults.list);
    };
    let topology = Topology {
        cluster,
        survival_goal,
        preferred_sites,
        timing,
        sites,
        nodes,
    };
    check_goal(&topology, &mut faults);
    check_preferred_sites(&topology, &mut faults);
    if faults.list.is_empty() {
        Ok(topology)
    } else {
        Err(faults.list)
    }
}

/// Each names a site with a voter, once: another site could never lead.
fn check_preferred_sites(topology: &Topology, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (index, name) in topology.preferred_sites.iter().enumerate() {
        let key = format!("cluster.preferred_sites[{index}]");
        let votes = |node: &Node| node.site == *name && node.role == NodeRole::Voter;
        if !topology.sites.iter().any(|site| site.name == *name) {
            faults.add(key, format!("{name:?}"), "is no site of this file");
        } else if !topology.nodes.iter().any(votes) {
            faults.add(key, format!("{name:?}"), "has no voter, so it cannot lead");
        } else if !seen.insert(name) {
            faults.add(key, format!("{name:?}"), "is named twice");
        }
    }
}

fn all<T>(list: Vec<Option<T>>) -> Option<Vec<T>> {
    list.into_iter().collect()
}

/// The faults found so far, and the ways to read one value.
#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    fn add(&mut self, key: impl Into<String>, value: impl Display, problem: impl Into<String>) {
        self.list.push(Fault::new(key, value.to_string(), problem));
    }

    fn required<T>(&mut self, key: &str, value: Value<T>) -> Option<T> {
        if matches!(value, Value::Missing) {
            self.add(key, "", "is required");
        }
        self.optional(key, value)
    }

    fn optional<T>(&mut self, key: &str, value: Value<T>) -> Option<T> {
        match value {
            Value::Missing => None,
            Value::Good(value) => Some(value),
            Value::Bad { written, expected } => {
                self.add(key, written, expected);
                None
            }
        }
    }

    fn checked(
        &mut self,
        key: &str,
        value: Option<String>,
        rule: &str,
        holds: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let value = value?;
        if holds(&value) {
            return Some(value);
        }
        self.add(key, format!("{value:?}"), rule);
        None
    }

    fn slug(&mut self, key: &str, value: Value<String>) -> Option<String> {
        let value = self.required(key, value);
        self.checked(key, value, SLUG_RULE, is_slug)
    }

    fn host(&mut self, key: &str, value: Value<String>) -> Option<String> {
        let value = self.optional(key, value);
        self.checked(key, value, HOST_RULE, is_host)
    }

    fn port(&mut self, key: &str, value: Value<u16>) -> Option<u16> {
        let port = self.optional(key, value)?;
        if port == 0 {
            self.add(key, port, "must be 1 to 65535");
            return None;
        }
        Some(port)
    }

    fn spelled<T>(
        &mut self,
        key: &str,
        value: Value<String>,
        parse: impl Fn(&str) -> Option<T>,
        spellings: &[&str],
    ) -> Option<T> {
        let value = self.required(key, value)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            let rule = format!("must be one of {}", spellings.join(", "));
            self.add(key, format!("{value:?}"), rule);
        }
        parsed
    }
}

fn timing(raw: RawTiming, faults: &mut Faults) -> Option<Timing> {
    let heartbeat = faults.required("timing.heartbeat_ms", raw.heartbeat_ms);
    let election_min = faults.required("timing.election_min_ms", raw.election_min_ms);
    let election_max = faults.required("timing.election_max_ms", raw.election_max_ms);
    if let Some(heartbeat) = heartbeat
        && heartbeat < HEARTBEAT_MS_MIN
    {
        let rule = format!("must be at least {HEARTBEAT_MS_MIN}");
        faults.add("timing.heartbeat_ms", heartbeat, rule);
    }
    if let (Some(heartbeat), Some(minimum)) = (heartbeat, election_min)
        && minimum < heartbeat.saturating_mul(2)
    {
        let rule = format!("must be at least twice timing.heartbeat_ms = {heartbeat}");
        faults.add("timing.election_min_ms", minimum, rule);
    }
    if let (Some(minimum), Some(maximum)) = (election_min, election_max)
        && maximum <= minimum
    {
        let rule = format!("must be above timing.election_min_ms = {minimum}");
        faults.add("timing.election_max_ms", maximum, rule);
    }
    if let Some(maximum) = election_max
        && maximum > ELECTION_MS_MAX
    {
        let rule = format!("must be at most {ELECTION_MS_MAX}");
        faults.add("timing.election_max_ms", maximum, rule);
    }
    Some(Timing {
        heartbeat: Duration::from_millis(heartbeat?),
        election_min: Duration::from_millis(election_min?),
        election_max: Duration::from_millis(election_max?),
    })
}

/// The section `[ports]`: what a node's port is when the node does not name it.
struct BasePorts {
    peer: Option<u16>,
    client: Option<u16>,
    http: Option<u16>,
    health: Option<u16>,
    add_node_id: bool,
}

fn base_ports(raw: RawPorts, faults: &mut Faults) -> BasePorts {
    BasePorts {
        peer: faults.port("ports.peer", raw.peer),
        client: faults.port("ports.client", raw.client),
        http: faults.port("ports.http", raw.http),
        health: faults.port("ports.health", raw.health),
        add_node_id: faults
            .optional("ports.add_node_id", raw.add_node_id)
            .unwrap_or(false),
    }
}

fn check_site(index: usize, raw: RawSite, faults: &mut Faults) -> Option<Site> {
    let key = |name: &str| format!("sites[{index}].{name}");
    let name = faults.slug(&key("name"), raw.name);
    let title = faults.required(&key("title"), raw.title);
    let title_rule = format!("must be 1 to {TITLE_CHARS_MAX} characters");
    let title = faults.checked(&key("title"), title, &title_rule, |text| {
        (1..=TITLE_CHARS_MAX).contains(&text.chars().count())
    });
    let role = faults.spelled(&key("role"), raw.role, SiteRole::parse, SiteRole::SPELLINGS);
    if role == Some(SiteRole::Province) && raw.province == Value::Missing {
        faults.add(
            key("province"),
            "",
            "is required for a site of role province",
        );
    }
    let province = faults.optional(&key("province"), raw.province);
    let province = faults.checked(&key("province"), province, PROVINCE_RULE, is_province);
    let address = faults.host(&key("address"), raw.address);
    Some(Site {
        name: name?,
        title: title?,
        role: role?,
        province,
        address,
    })
}

fn check_node(
    index: usize,
    raw: RawNode,
    base: &BasePorts,
    sites: &[Option<Site>],
    faults: &mut Faults,
) -> Option<Node> {
    let key = |name: &str| format!("nodes[{index}].{name}");
    let id = faults.required(&key("id"), raw.id).and_then(|id| {
        let known = (1..=NODE_ID_MAX).contains(&id);
        if !known {
            faults.add(key("id"), id, format!("must be 1 to {NODE_ID_MAX}"));
        }
        known.then_some(NodeId(id))
    });
    let name = faults.slug(&key("name"), raw.name);
    let site = faults.slug(&key("site"), raw.site);
    let role = faults.spelled(&key("role"), raw.role, NodeRole::parse, NodeRole::SPELLINGS);
    let own_host = raw.address != Value::Missing;
    let host = faults.host(&key("address"), raw.address);
    let home = site
        .as_ref()
        .and_then(|name| sites.iter().flatten().find(|site| &site.name == name));
    if let (Some(site), None) = (&site, home)
        // A site that is itself at fault is not reported a second time through its nodes.
        && sites.iter().all(Option::is_some)
    {
        faults.add(
            key("site"),
            format!("{site:?}"),
            "names no site of this file",
        );
    }
    let host = host.or_else(|| home.and_then(|site| site.address.clone()));
    if host.is_none() && !own_host && home.is_some() {
        let rule = "is required, since the node's site names no address either";
        faults.add(key("address"), "", rule);
    }
    let mut port = |name: &str, own: Value<u16>, base_name: &str, base_port: Option<u16>| {
        let own_given = own != Value::Missing;
        let own = faults.port(&key(name), own);
        if own_given {
            return own;
        }
        derived_port(
            &key(name),
            base_name,
            base_port,
            base.add_node_id,
            id,
            faults,
        )
    };
    let peer = port("peer_port", raw.peer_port, "ports.peer", base.peer);
    let client = port("client_port", raw.client_port, "ports.client", base.client);
    let http = port("http_port", raw.http_port, "ports.http", base.http);
    let health = port("health_port", raw.health_port, "ports.health", base.health);
    Some(Node {
        id: id?,
        name: name?,
        site: site?,
        role: role?,
        host: host?,
        ports: Ports {
            peer: peer?,
            client: client?,
            http: http?,
            health: health?,
        },
    })
}

fn derived_port(
    key: &str,
    base_key: &str,
    base: Option<u16>,
    add_node_id: bool,
    id: Option<NodeId>,
    faults: &mut Faults,
) -> Option<u16> {
    let Some(base) = base else {
        faults.add(
            key,
            "",
            format!("is required, since {base_key} is not given either"),
        );
        return None;
    };
    if !add_node_id {
        return Some(base);
    }
    let port = u64::from(base) + id?.get();
    let derived = u16::try_from(port).ok();
    if derived.is_none() {
        let rule = format!("{base_key} = {base} plus the node's id exceeds 65535");
        faults.add(key, port, rule);
    }
    derived
}

/// Who took this key first, if not this owner now.
fn taken<K: Ord, V: Clone>(owners: &mut BTreeMap<K, V>, key: K, owner: V) -> Option<V> {
    match owners.entry(key) {
        Entry::Occupied(first) => Some(first.get().clone()),
        Entry::Vacant(free) => {
            free.insert(owner);
            None
        }
    }
}

fn check_sites_together(sites: &[Option<Site>], faults: &mut Faults) {
    let mut names = BTreeMap::new();
    let mut provinces = BTreeMap::new();
    let mut roles = BTreeMap::new();
    for (index, site) in sites.iter().enumerate() {
        let Some(site) = site else { continue };
        if let Some(first) = taken(&mut names, site.name.as_str(), index) {
            let rule = format!("is already the name of sites[{first}]");
            faults.add(format!("sites[{index}].name"), &site.name, rule);
        }
        if let Some(province) = &site.province
            && let Some(first) = taken(&mut provinces, province.as_str(), index)
        {
            let rule = format!("is already served by sites[{first}]");
            faults.add(format!("sites[{index}].province"), province, rule);
        }
        if matches!(site.role, SiteRole::Central | SiteRole::Recovery)
            && let Some(first) = taken(&mut roles, site.role, index)
        {
            let rule = format!("is already the role of sites[{first}]; a cluster has one");
            faults.add(format!("sites[{index}].role"), site.role, rule);
        }
    }
    if sites.is_empty() {
        faults.add("sites", "", "is required: at least one site");
    }
}

fn check_nodes_together(nodes: &[Option<Node>], sites: &[Option<Site>], faults: &mut Faults) {
    let mut ids = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut endpoints = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(node) = node else { continue };
        if let Some(first) = taken(&mut ids, node.id, index) {
            let rule = format!("is already the id of nodes[{first}]");
            faults.add(format!("nodes[{index}].id"), node.id, rule);
        }
        if let Some(first) = taken(&mut names, node.name.as_str(), index) {
            let rule = format!("is already the name of nodes[{first}]");
            faults.add(format!("nodes[{index}].name"), &node.name, rule);
        }
        for (key, port) in [
            ("peer_port", node.ports.peer),
            ("client_port", node.ports.client),
            ("http_port", node.ports.http),
            ("health_port", node.ports.health),
        ] {
            let here = format!("nodes[{index}].{key}");
            let host = if key == "health_port" {
                health_host(node)
            } else {
                &node.host
            };
            if let Some(first) = taken(&mut endpoints, (host, port), here.clone()) {
                let rule = format!("is already taken on {host} by {first}");
                faults.add(here, port, rule);
            }
        }
        check_voter_home(index, node, sites, faults);
    }
    check_homes_used(nodes, sites, faults);
    if nodes.is_empty() {
        faults.add("nodes", "", "is required: at least one node");
    } else if nodes.iter().all(Option::is_some) && !nodes.iter().flatten().any(Node::is_voter) {
        faults.add("nodes", "", "at least one node must have the role voter");
    }
}

/// Plain health checks listen on loopback: nodes on any loopback address share one machine, and so one interface.
fn health_host(node: &Node) -> &str {
    let address = node.host.parse::<std::net::IpAddr>();
    if address.is_ok_and(|address| address.is_loopback()) {
        "127.0.0.1"
    } else {
        &node.host
    }
}

/// A voter counts for the whole nation: it stands where the site's role says so.
fn check_voter_home(index: usize, node: &Node, sites: &[Option<Site>], faults: &mut Faults) {
    let home = sites.iter().flatten().find(|site| site.name == node.site);
    if node.is_voter() && home.is_some_and(|site| site.role == SiteRole::Province) {
        let rule = format!(
            "a voter stands at a central, recovery or quorum site, and nodes[{index}].site = {} \
             has the role province",
            node.site
        );
        faults.add(format!("nodes[{index}].role"), node.role, rule);
    }
}

fn check_homes_used(nodes: &[Option<Node>], sites: &[Option<Site>], faults: &mut Faults) {
    // While a node is unreadable, an empty-looking site may be its home.
    if nodes.iter().any(Option::is_none) {
        return;
    }
    let used: BTreeSet<&str> = nodes
        .iter()
        .flatten()
        .map(|node| node.site.as_str())
        .collect();
    for (index, site) in sites.iter().enumerate() {
        if let Some(site) = site
            && !used.contains(site.name.as_str())
        {
            faults.add(format!("sites[{index}].name"), &site.name, "has no node");
        }
    }
}

fn check_goal(topology: &Topology, faults: &mut Faults) {
    let survival = topology.planned_survival();
    for loss in survival.fatal_losses() {
        let rule = format!(
            "does not hold with all voters live: losing {} leaves {} of {} voters, {} are needed",
            loss.lost,
            loss.live_voters,
            topology.voters().count(),
            loss.majority
        );
        faults.add("cluster.survival_goal", topology.survival_goal, rule);
    }
}
