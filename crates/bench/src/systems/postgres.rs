//! PostgreSQL: a primary and two quorum-synchronous standbys, TLS with client certificates everywhere.
//!
//! `initdb` and the server refuse to run as root, so that they run as `postgres` then, in a folder of the bench's own.
//! Registrations are one call of a function (`postgres.sql`): one round trip, one transaction.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use banyan_drill::wait_for;
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Pins, Source};
use crate::authority::{Authority, Pair};
use crate::load::{Failure, Target};
use crate::persons::Registration;
use crate::process::{Launch, Running, free_ports};

const BINARIES: &str = "/usr/lib/postgresql/15/bin";
const USER: &str = "postgres";
const READY_WITHIN: Duration = Duration::from_secs(40);
const SCHEMA: &str = include_str!("postgres.sql");
const PRINCIPAL: &str = "centre@central";
const REGISTER: &str = "select register_person($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const READ: &str = "select v.record, v.version, v.recorded_at from person p \
                    join person_version v on v.person = p.id and v.version = p.version where p.pin = $1";

/// What differs from the defaults, besides ports, TLS and replication; told in the settings of a run.
pub(crate) const TUNING: &[(&str, &str)] = &[
    ("max_connections", "320"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
];

/// A cluster that runs.
pub(crate) struct Postgres {
    // The primary first: it ends first.
    servers: Vec<Server>,
    tls: MakeRustlsConnect,
    /// What drives the connections; it ends with this.
    connections: Mutex<JoinSet<()>>,
}

struct Server {
    running: Running,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown: the server ends its own children.
        self.running.end_with(Signal::SIGQUIT);
    }
}

/// Where files lie and who runs.
struct Place<'a> {
    folder: &'a Path,
    /// `None`: this user, who is not root.
    user: Option<String>,
    authority: PathBuf,
    pair: Pair,
}

impl Place<'_> {
    fn launch(&self, program: &str, name: &str, arguments: &[String]) -> Launch {
        Launch {
            name: format!("{program} {name}"),
            program: Path::new(BINARIES).join(program),
            arguments: arguments.to_vec(),
            log: self.folder.join(format!("{name}.log")),
            user: self.user.clone(),
        }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The configuration of a server: an initialised directory gets it appended.
    fn configure(&self, name: &str, port: u16, primary: Option<u16>) -> anyhow::Result<()> {
        let (certificate, key) = (self.pair.certificate.display(), self.pair.key.display());
        let authority = self.authority.display();
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n\
             ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\nssl_ca_file = '{authority}'\n\
             fsync = on\nsynchronous_commit = on\n"
        );
        for (key, value) in TUNING {
            let _ = writeln!(text, "{key} = '{value}'");
        }
        match primary {
            None => text.push_str("synchronous_standby_names = 'ANY 1 (s1, s2)'\n"),
            Some(primary) => {
                let _ = writeln!(
                    text,
                    "primary_conninfo = 'host=127.0.0.1 port={primary} user={USER} application_name={name} \
                     sslmode=verify-full sslrootcert={authority} sslcert={certificate} sslkey={key}'"
                );
                fs::write(self.data(name).join("standby.signal"), "")?;
            }
        }
        let data = self.data(name);
        append(&data.join("postgresql.conf"), &text)?;
        fs::write(
            data.join("pg_hba.conf"),
            "hostssl all all 127.0.0.1/32 cert\nhostssl replication all 127.0.0.1/32 cert\n",
        )?;
        Ok(())
    }

    fn start(&self, name: &str, port: u16) -> anyhow::Result<Server> {
        let data = self.data(name).display().to_string();
        let launch = self.launch("postgres", name, &["-D".to_owned(), data]);
        Ok(Server {
            running: launch.start()?,
            port,
        })
    }
}

impl Postgres {
    /// Makes three servers from one initialised directory, starts them, and makes the tables.
    ///
    /// # Errors
    /// That a server does not start, or that its user cannot enter the folder.
    pub(crate) async fn start(folder: &Path, authority: &Authority) -> anyhow::Result<Postgres> {
        fs::create_dir_all(folder)?;
        let place = Place {
            folder,
            user: geteuid().is_root().then(|| USER.to_owned()),
            authority: authority.certificate(),
            pair: authority.issue(USER)?,
        };
        give_to_user(&place)?;
        let initialise = [
            "-D".to_owned(),
            place.data("primary").display().to_string(),
            format!("--username={USER}"),
            "--auth=reject".to_owned(),
            "--no-sync".to_owned(),
            "--encoding=UTF8".to_owned(),
        ];
        place
            .launch("initdb", "initdb", &initialise)
            .run(Duration::from_secs(60))
            .context("cannot initialise PostgreSQL; can its user enter the folder of --out?")?;
        let ports: [u16; 3] = free_ports()?;
        let names = ["primary", "s1", "s2"];
        for name in ["s1", "s2"] {
            // A directory that no server has run on is a backup of itself.
            let mut copy = place.launch("cp", "copy", &[]);
            copy.program = PathBuf::from("/bin/cp");
            copy.arguments = vec![
                "-a".to_owned(),
                place.data("primary").display().to_string(),
                place.data(name).display().to_string(),
            ];
            copy.run(Duration::from_secs(60))?;
        }
        let mut servers = Vec::new();
        for (name, port) in names.into_iter().zip(ports) {
            let primary = (name != "primary").then_some(ports[0]);
            place.configure(name, port, primary)?;
            servers.push(place.start(name, port)?);
        }
        let tls = MakeRustlsConnect::new(tls_config(&place)?);
        let mut postgres = Postgres {
            servers,
            tls,
            connections: Mutex::new(JoinSet::new()),
        };
        let ready = postgres.make_tables().await;
        for server in &mut postgres.servers {
            server.running.check()?;
        }
        ready?;
        Ok(postgres)
    }

    async fn make_tables(&self) -> anyhow::Result<()> {
        let primary = wait_for::condition("an answer of PostgreSQL", READY_WITHIN, async || {
            self.connect(0).await.map_err(|error| format!("{error:#}"))
        })
        .await?;
        wait_for::condition("two synchronous standbys", READY_WITHIN, async || {
            let states = "select count(*) from pg_stat_replication where sync_state = 'quorum'";
            let row = primary.query_one(states, &[]).await;
            match row.map(|row| row.get::<_, i64>(0)) {
                Ok(2) => Ok(()),
                Ok(count) => Err(format!("{count} are")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
        let encrypted =
            "select count(*) from pg_stat_replication join pg_stat_ssl using (pid) where ssl";
        let row = primary.query_one(encrypted, &[]).await?;
        ensure!(
            row.get::<_, i64>(0) == 2,
            "a standby replicates without TLS"
        );
        primary.batch_execute(SCHEMA).await?;
        Ok(())
    }

    /// A connection to a server: 0 is the primary.
    async fn connect(&self, server: usize) -> anyhow::Result<Client> {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.servers[server].port)
            .user(USER)
            .dbname(USER)
            .ssl_mode(tokio_postgres::config::SslMode::Require)
            .connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(self.tls.clone()).await?;
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connections.spawn(async move {
            // Those who use it are told the reason.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Connections for so many clients, each with the statement prepared: to the primary, or over both standbys.
    ///
    /// # Errors
    /// That a server refuses.
    async fn sessions(
        &self,
        clients: usize,
        role: Role,
        text: &str,
    ) -> anyhow::Result<Vec<Session>> {
        let mut sessions = Vec::new();
        for client in 0..clients {
            let server = match role {
                Role::Primary => 0,
                Role::Standbys => 1 + client % 2,
            };
            let client = self.connect(server).await?;
            let statement = client.prepare(text).await?;
            sessions.push(Session { client, statement });
        }
        Ok(sessions)
    }

    /// The version that the primary says.
    ///
    /// # Errors
    /// That it does not answer.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let row = self
            .connect(0)
            .await?
            .query_one("show server_version", &[])
            .await?;
        Ok(row.get(0))
    }

    /// Registrations from so many clients.
    ///
    /// # Errors
    /// That the primary refuses a connection.
    pub(crate) async fn registrations(
        &self,
        clients: usize,
        source: Source,
    ) -> anyhow::Result<Arc<Registrations>> {
        Ok(Arc::new(Registrations {
            sessions: self.sessions(clients, Role::Primary, REGISTER).await?,
            source,
        }))
    }

    /// Reads from so many clients, over both standbys.
    ///
    /// # Errors
    /// That a standby refuses a connection.
    pub(crate) async fn reads(&self, clients: usize, pins: Pins) -> anyhow::Result<Arc<Reads>> {
        Ok(Arc::new(Reads {
            sessions: self.sessions(clients, Role::Standbys, READ).await?,
            pins,
        }))
    }

    /// Waits until both standbys have replayed what the primary has written.
    ///
    /// # Errors
    /// That they do not.
    pub(crate) async fn caught_up(&self) -> anyhow::Result<()> {
        let primary = self.connect(0).await?;
        let behind = "select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::bigint, \
                      count(*) from pg_stat_replication";
        wait_for::condition("level standbys", READY_WITHIN, async || {
            let row = primary.query_one(behind, &[]).await;
            let row = row.map_err(|error| error.to_string())?;
            match (row.get::<_, i64>(0), row.get::<_, i64>(1)) {
                (bytes, 2) if bytes < 1_000_000 => Ok(()),
                (bytes, standbys) => Err(format!("{standbys} standbys, {bytes} bytes behind")),
            }
        })
        .await?;
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Role {
    Primary,
    Standbys,
}

struct Session {
    client: Client,
    statement: Statement,
}

/// Registrations through the function, on a connection each.
pub(crate) struct Registrations {
    sessions: Vec<Session>,
    source: Source,
}

impl Target for Registrations {
    type Request = (Registration, [u8; 16]);

    fn request(&self, _slot: usize) -> (Registration, [u8; 16]) {
        (self.source.next(), *banyan_client::new_key().as_bytes())
    }

    async fn call(
        &self,
        slot: usize,
        (person, key): (Registration, [u8; 16]),
    ) -> Result<u64, Failure> {
        let session = &self.sessions[slot % self.sessions.len()];
        let (cmnd, birth_date) = person.data().map_or((None, String::new()), |data| {
            let cmnd = (!data.cmnd.is_empty()).then_some(data.cmnd.as_str());
            let birth = data.birth_date.unwrap_or_default();
            let text = format!("{:04}-{:02}-{:02}", birth.year, birth.month, birth.day);
            (cmnd, text)
        });
        let (name, record) = (person.name(), person.record());
        session
            .client
            .query_one(
                &session.statement,
                &[
                    &PRINCIPAL,
                    &key.as_slice(),
                    &person.pin,
                    &cmnd,
                    &person.form(),
                    &name,
                    &birth_date,
                    &person.command.office,
                    &record,
                ],
            )
            .await
            .map_err(|error| told(&error))?;
        Ok(1)
    }
}

/// Reads by number at the standbys.
pub(crate) struct Reads {
    sessions: Vec<Session>,
    pins: Pins,
}

impl Target for Reads {
    type Request = String;

    fn request(&self, slot: usize) -> String {
        self.pins.draw(slot)
    }

    async fn call(&self, slot: usize, pin: String) -> Result<u64, Failure> {
        let session = &self.sessions[slot % self.sessions.len()];
        let row = session.client.query_one(&session.statement, &[&pin]).await;
        let row = row.map_err(|error| told(&error))?;
        if row.get::<_, &[u8]>(0).is_empty() {
            return Err("the record is empty".to_owned().into());
        }
        Ok(1)
    }
}

/// The server's message without its details, which may hold values.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(fault) => format!("{}: {}", fault.code().code(), fault.message()),
        None => error.to_string(),
    }
}

/// Lets the server's user own its folder and its key.
fn give_to_user(place: &Place<'_>) -> anyhow::Result<()> {
    let Some(name) = &place.user else {
        return Ok(());
    };
    let Some(user) = User::from_name(name)? else {
        bail!("there is no user {name}; the package postgresql-15 makes one");
    };
    let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
    for path in [place.folder, place.pair.key.as_path()] {
        std::os::unix::fs::chown(path, uid, gid)
            .with_context(|| format!("cannot give {} to {name}", path.display()))?;
    }
    Ok(())
}

fn tls_config(place: &Place<'_>) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&place.authority)?)?;
    let certificate = CertificateDer::from_pem_file(&place.pair.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&place.pair.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)?)
}

fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut whole =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    whole.push_str(text);
    fs::write(path, whole).with_context(|| format!("cannot write {}", path.display()))
}
