//! `bench` in small: it measures what it says. No figure is judged here.

use super::harness::Program;
use serde_json::Value;

async fn measure(arguments: &[&str]) -> Value {
    let program = Program::new().await;
    let arguments: Vec<&str> = ["bench"].into_iter().chain(arguments.iter().copied()).collect();
    program.run(&arguments).expect_code(0).json()
}

#[track_caller]
fn is_positive(seen: &Value, fields: &[&str]) {
    for field in fields {
        assert!(seen[field].as_f64().is_some_and(|f| f > 0.0), "{field} in {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throughput() {
    let seen = measure(&["throughput", "--executions", "30", "--concurrency", "10"]).await;
    assert_eq!(seen["executions"], 30);
    is_positive(&seen, &["seconds", "executions_per_s", "stages_per_s", "p50_ms", "p99_ms"]);
    is_positive(&seen, &["wal_bytes_per_stage"]);
    assert!(seen["dead_tuples_per_1000_stages"].is_number(), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn latency() {
    let seen = measure(&["latency", "--executions", "5"]).await;
    is_positive(&seen, &["p50_ms", "p99_ms", "insert_p50_ms", "inserts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn append() {
    for store in ["longhaul", "postgres-es"] {
        let seen =
            measure(&["append", "--writers", "20", "--seconds", "1", "--store", store]).await;
        is_positive(&seen, &["events_per_s", "p50_ms", "p99_ms"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history() {
    let seen = measure(&["history", "--stages", "300"]).await;
    is_positive(&seen, &["seconds", "first_100_ms_per_stage", "last_100_ms_per_stage"]);
}

/// What it promises is not a figure: nothing is lost, and no recorded stage runs again.
#[tokio::test(flavor = "multi_thread")]
async fn recover() {
    let seen =
        measure(&["recover", "--executions", "12", "--stage-ms", "50", "--slots", "6"]).await;
    let counts = ["finished", "lost", "stages_run_twice"].map(|field| seen[field].as_i64());
    assert_eq!(counts, [Some(12), Some(0), Some(0)], "{seen}");
    assert!(seen["stages_cut_off"].as_i64().is_some_and(|n| n > 0), "{seen}");
    is_positive(&seen, &["recovery_seconds"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild() {
    for arguments in
        [&["rebuild", "--events", "3000"][..], &["rebuild", "--events", "3000", "--replay"]]
    {
        let seen = measure(arguments).await;
        assert!(seen["events"].as_u64().is_some_and(|n| n >= 3_000), "{seen}");
        is_positive(&seen, &["events_per_s", "copy_events_per_s", "ratio"]);
    }
}
