//! A database of its own for each test, cloned from a template that is migrated once.
//!
//! The cluster is our own embedded Postgres in memory-backed storage if there is enough of it. All
//! test processes share it; its guardian stops it a few seconds after the last one.

use longhaul::config::home::Home;
use longhaul::config::settings::Settings;
use longhaul::embedded::{Attachment, Config, GuardianMode, attach};
use longhaul::store::{Connect, Store};
use longhaul::{Builder, Database, Longhaul};
use sqlx::{Connection, Executor, PgConnection};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// A database, and a home directory for whatever a test leaves on disk.
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    pub(crate) home: tempfile::TempDir,
    name: String,
    admin_url: String,
    _attachment: Attachment,
}

impl TestDatabase {
    pub(crate) async fn new() -> Self {
        let root = cluster_root();
        let attachment = cluster(&root).await;
        let admin_url = attachment.url("postgres");
        let template = template(&root, &attachment).await;
        let name = format!("t_{}", uuid::Uuid::new_v4().simple());
        let mut admin = PgConnection::connect(&admin_url).await.expect("the cluster answers");
        let clone = format!("create database {name} template {template} strategy file_copy");
        admin.execute(clone.as_str()).await.expect("a clone of the template");
        let url = attachment.url(&name);
        let home = tempfile::Builder::new().prefix("longhaul-test-").tempdir().expect("a home");
        TestDatabase { url, home, name, admin_url, _attachment: attachment }
    }

    /// A store over it.
    pub(crate) async fn store(&self) -> Store {
        self.store_at(&self.url).await
    }

    /// A store over another way to it.
    pub(crate) async fn store_at(&self, url: &str) -> Store {
        Store::connect(&Connect::to(url)).await.expect("a store")
    }

    /// A builder of engines over it, with quick leases.
    pub(crate) fn builder(&self) -> Builder {
        self.builder_with(&[])
    }

    /// The same with settings of the environment.
    pub(crate) fn builder_with(
        &self,
        environment: &'static [(&'static str, &'static str)],
    ) -> Builder {
        let ask = |name: &str| {
            let given = environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            given.or_else(|| quick(name))
        };
        let settings = Settings::read(&ask, None, &[]).expect("settings");
        Longhaul::builder()
            .database(Database::Url(self.url.clone()))
            .home(Home::at(self.home.path()))
            .config(settings)
    }

    /// Runs a statement beside everything.
    pub(crate) async fn execute(&self, statement: &str) {
        let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
        connection.execute(statement).await.expect("a statement");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // In a thread, because a test's runtime may be ending. A database left behind goes with the
        // next template.
        let (name, admin_url) = (self.name.clone(), self.admin_url.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(async {
                    if let Ok(mut admin) = PgConnection::connect(&admin_url).await {
                        let _ = admin
                            .execute(format!("drop database {name} with (force)").as_str())
                            .await;
                    }
                });
            }
        });
        let _ = dropping.join();
    }
}

fn quick(name: &str) -> Option<String> {
    let value = match name {
        "LONGHAUL_HEARTBEAT_MS" => "100",
        "LONGHAUL_POLL_MS" => "10",
        "LONGHAUL_DRAIN_MS" => "2000",
        "WORKFLOW_RETRY_DELAY" => "10",
        _ => return None,
    };
    Some(value.to_owned())
}

/// In memory if there is room, else on disk; one place per user and checkout, since another checkout
/// has other migrations.
fn cluster_root() -> PathBuf {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let user = unsafe { libc::geteuid() };
    let memory = Path::new("/dev/shm");
    let base = if free_bytes(memory) > 2 << 30 { memory.to_owned() } else { std::env::temp_dir() };
    let mut checkout = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut checkout);
    base.join(format!("longhaul-tests-{user}-{:08x}", checkout.finish() as u32))
}

fn free_bytes(path: &Path) -> u64 {
    let output = std::process::Command::new("df").arg("-Pk").arg(path).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let blocks = text.lines().nth(1).and_then(|l| l.split_whitespace().nth(3)?.parse::<u64>().ok());
    blocks.unwrap_or(0) * 1_024
}

async fn cluster(root: &Path) -> Attachment {
    let cache = std::env::temp_dir().join("longhaul-tests-postgres");
    let mut config = Config::new(root, cache);
    config.settings = [("max_connections", "300"), ("shared_buffers", "64MB")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let mode = GuardianMode::Process {
        program: env!("CARGO_BIN_EXE_longhaul").into(),
        arguments: vec!["db".to_owned(), "guard".to_owned()],
    };
    attach(&config, mode, &|_| {}).await.expect("the embedded Postgres starts")
}

/// The migrated template, named after the migrations. Made once, under a lock.
async fn template(root: &Path, attachment: &Attachment) -> String {
    let name = format!("template_{:016x}", migrations_hash());
    let lock = File::create(root.join("template.lock")).expect("a lock file");
    lock.lock().expect("the template's lock");
    let mut admin = PgConnection::connect(&attachment.url("postgres")).await.expect("the cluster");
    let known: Option<String> =
        sqlx::query_scalar("select datname::text from pg_database where datname = $1")
            .bind(&name)
            .fetch_optional(&mut admin)
            .await
            .expect("a list of databases");
    if known.is_none() {
        drop_leftovers(&mut admin).await;
        let raw = format!("{name}_raw");
        admin.execute(format!("create database {raw}").as_str()).await.expect("a database");
        let store = Store::connect(&Connect::to(attachment.url(&raw))).await.expect("a store");
        store.migrate().await.expect("the migrations run");
        let now = chrono::Utc::now();
        longhaul::projector::install(&store, None, now).await.expect("the read models");
        store.close().await;
        // Renamed when complete, so that a killed run leaves no half template under the name. A
        // connection that was just closed may still count as a user for a moment.
        let rename = format!("alter database {raw} rename to {name}");
        super::eventually("the template is nobody's", || {
            let (url, rename) = (attachment.url("postgres"), rename.clone());
            let others = format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{raw}'"
            );
            async move {
                let mut admin = PgConnection::connect(&url).await.ok()?;
                admin.execute(others.as_str()).await.ok()?;
                admin.execute(rename.as_str()).await.ok()
            }
        })
        .await;
    }
    name
}

async fn drop_leftovers(admin: &mut PgConnection) {
    let statement = "select datname::text from pg_database where datname like 't\\_%' or datname like 'template\\_%'";
    let names: Vec<String> =
        sqlx::query_scalar(statement).fetch_all(&mut *admin).await.expect("databases");
    for name in names {
        // Somebody else's run may use it still.
        let _ = admin.execute(format!("drop database {name}").as_str()).await;
    }
}

fn migrations_hash() -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = ["migrations", "projections"]
        .into_iter()
        .flat_map(|directory| std::fs::read_dir(root.join(directory)).expect("a directory"))
        .map(|e| e.expect("a file").path())
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).expect("a migration").hash(&mut hasher);
    }
    hasher.finish()
}
