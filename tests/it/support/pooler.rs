//! A PgBouncer in transaction mode between us and Postgres, with fewer servers than we have clients.

use super::proxy::socket;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::net::UnixStream;

/// A pooler that ends with the test.
pub(crate) struct Pooler {
    directory: tempfile::TempDir,
    child: Child,
    url: String,
}

impl Pooler {
    /// Starts one in front of the database of `url`.
    pub(crate) async fn before(url: &str) -> Pooler {
        let server = socket(url);
        // Postgres asks the kernel who we are, so that the pooler comes as the one it runs as.
        let owner = std::fs::metadata(&server).expect("the server's socket");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).expect("a mode");
        let host = server.parent().expect("a directory").display().to_string();
        let port = server.extension().expect("a port").to_string_lossy().into_owned();
        let settings = format!(
            "[databases]\n* = host={host} port={port} user=longhaul\n\
             [pgbouncer]\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 500\n\
             auth_type = any\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {0}\n\
             pidfile = {0}/pid\n",
            path.display()
        );
        let file = path.join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("settings");
        let mut command = Command::new(program());
        command.arg("--quiet").arg(&file).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: geteuid has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } == 0 {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let child = command.spawn().expect("pgbouncer starts");
        let own = path.join(".s.PGSQL.6432");
        super::eventually("pgbouncer listens", || async { UnixStream::connect(&own).await.ok() })
            .await;
        let (start, _) = url.split_once('?').expect("a query");
        let host = path.to_string_lossy().replace('/', "%2F");
        let url = format!("{start}?host={host}&port=6432&user=longhaul&pgbouncer=true");
        Pooler { directory, child, url }
    }

    /// The way through it.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// The end of it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(self.directory.path().join(".s.PGSQL.6432"));
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = places.iter().map(|p| p.join("pgbouncer")).find(|p: &PathBuf| Path::exists(p));
    found.expect("pgbouncer is missing; install it (apt-get install pgbouncer), as tests/run does")
}
