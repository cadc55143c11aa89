//! The topology written back as a file.

use std::fmt::Write as _;

use crate::model::Topology;

/// Renders a file that parses to the same value. Strings are quoted as TOML basic strings.
pub(crate) fn render(topology: &Topology) -> String {
    let mut out = String::new();
    write_all(topology, &mut out).expect("writing to a string cannot fail");
    out
}

fn write_all(topology: &Topology, out: &mut String) -> std::fmt::Result {
    writeln!(out, "[cluster]")?;
    writeln!(out, "name = {}", quoted(&topology.cluster))?;
    writeln!(
        out,
        "survival_goal = {}",
        quoted(topology.survival_goal.as_str())
    )?;
    let preferred: Vec<String> = topology
        .preferred_sites
        .iter()
        .map(|site| quoted(site))
        .collect();
    if !preferred.is_empty() {
        writeln!(out, "preferred_sites = [{}]", preferred.join(", "))?;
    }
    writeln!(out, "\n[timing]")?;
    let timing = topology.timing;
    writeln!(out, "heartbeat_ms = {}", timing.heartbeat.as_millis())?;
    writeln!(out, "election_min_ms = {}", timing.election_min.as_millis())?;
    writeln!(out, "election_max_ms = {}", timing.election_max.as_millis())?;
    for site in &topology.sites {
        writeln!(out, "\n[[sites]]")?;
        writeln!(out, "name = {}", quoted(&site.name))?;
        writeln!(out, "title = {}", quoted(&site.title))?;
        writeln!(out, "role = {}", quoted(site.role.as_str()))?;
        if let Some(province) = &site.province {
            writeln!(out, "province = {}", quoted(province))?;
        }
        if let Some(address) = &site.address {
            writeln!(out, "address = {}", quoted(address))?;
        }
    }
    for node in &topology.nodes {
        writeln!(out, "\n[[nodes]]")?;
        writeln!(out, "id = {}", node.id)?;
        writeln!(out, "name = {}", quoted(&node.name))?;
        writeln!(out, "site = {}", quoted(&node.site))?;
        writeln!(out, "role = {}", quoted(node.role.as_str()))?;
        writeln!(out, "address = {}", quoted(&node.host))?;
        writeln!(out, "peer_port = {}", node.ports.peer)?;
        writeln!(out, "client_port = {}", node.ports.client)?;
        writeln!(out, "http_port = {}", node.ports.http)?;
        writeln!(out, "health_port = {}", node.ports.health)?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
