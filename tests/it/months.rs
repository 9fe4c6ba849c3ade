//! The log in months: rows find their part, plans read one part, months are made ahead by anybody.

use crate::support::database::TestDatabase;
use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, Utc};
use longhaul::clock::{Clock, SystemClock};
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeSet;
use uuid::Uuid;

pub(crate) fn this_month() -> NaiveDate {
    SystemClock.now().date_naive().with_day(1).expect("a first day")
}

fn named(table: &str, month: NaiveDate) -> String {
    format!("{table}_{}", month.format("%Y_%m"))
}

/// An id as an execution gets it that is requested at `at`.
pub(crate) fn id_at(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).expect("after 1970");
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, at.timestamp_subsec_nanos()))
}

pub(crate) fn at(month: NaiveDate) -> DateTime<Utc> {
    month.and_hms_opt(0, 0, 0).expect("midnight").and_utc()
}

/// An event straight into the table.
async fn insert(database: &TestDatabase, id: Uuid) {
    database
        .execute(&format!(
            "insert into events (execution_id, sequence, event_id, type, branch, at, actor, payload,
                                 hash, lane, lane_sequence)
             values ('{id}', 1, '{}', 'ExecutionCompleted', 1, now(), 'test', '{{}}',
                     sha256('x'), 0, 1)",
            Uuid::now_v7()
        ))
        .await;
}

async fn part_of(database: &TestDatabase, id: Uuid) -> String {
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    sqlx::query_scalar("select tableoid::regclass::text from events where execution_id = $1")
        .bind(id)
        .fetch_one(&mut connection)
        .await
        .expect("the event")
}

/// Relations that a statement touches when it is run, by the plan that the server keeps for it
/// whatever the parameters.
async fn touched(database: &TestDatabase, statement: &str, types: &str, values: &str) -> String {
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    for prepare in [
        "set plan_cache_mode = force_generic_plan".to_owned(),
        format!("prepare q ({types}) as {statement}"),
    ] {
        sqlx::raw_sql(&prepare).execute(&mut connection).await.expect("prepared");
    }
    let explain = format!("explain (analyze, costs off, timing off) execute q ({values})");
    let rows = sqlx::raw_sql(&explain).fetch_all(&mut connection).await.expect("a plan");
    rows.iter().map(|r| r.get::<String, _>(0) + "\n").collect()
}

/// A statement of the program, by its name.
fn statement(source: &'static str, name: &str) -> &'static str {
    let start = source.find(&format!("/* {name} */")).expect("the statement");
    source[start..].split('"').next().expect("its end")
}

/// The parts of the log that a plan read when it ran.
fn parts_in(plan: &str) -> BTreeSet<String> {
    let ran = plan.lines().filter(|l| !l.contains("(never executed)"));
    let read = ran.filter_map(|l| l.split_once(" on ")?.1.split_whitespace().next());
    read.filter(|name| name.starts_with("events_") || name.starts_with("stage_logs_"))
        .map(|name| name.trim_end_matches("_pkey").to_owned())
        .collect()
}

#[tokio::test]
async fn an_execution_lies_in_the_month_of_its_request() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    store.create_months(SystemClock.now()).await.expect("months");
    let next = this_month() + Months::new(1);
    let cases = [
        (Uuid::from_u128(1), named("events", first_month(&store).await)),
        (id_at(at(next) - Duration::milliseconds(1)), named("events", this_month())),
        (id_at(at(next)), named("events", next)),
        (id_at(at(next + Months::new(1)) - Duration::milliseconds(1)), named("events", next)),
        (id_at(at(this_month() + Months::new(40))), "events_default".to_owned()),
    ];
    for (id, part) in cases {
        insert(&database, id).await;
        assert_eq!(part_of(&database, id).await, part, "{id}");
    }
    let parts = store.parts().await.expect("parts");
    assert_eq!(parts.outside, 1, "the alarm");
}

async fn first_month(store: &longhaul::store::Store) -> NaiveDate {
    let parts = store.parts().await.expect("parts");
    let name = parts.months.first().expect("a month").name.trim_start_matches("events_").to_owned();
    NaiveDate::parse_from_str(&format!("{name}_01"), "%Y_%m_%d").expect("a month")
}

#[tokio::test]
async fn loads_and_appends_by_id_read_one_part() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    store.create_months(SystemClock.now()).await.expect("months");
    let id = id_at(at(this_month() + Months::new(1)));
    insert(&database, id).await;
    let expected = BTreeSet::from([named("events", this_month() + Months::new(1))]);
    let loads = statement(include_str!("../../src/store/executions.rs"), "events of streams");
    let values = format!("'{{{id}}}', 0, 100");
    let plan = touched(&database, loads, "uuid[], bigint, bigint", &values).await;
    assert_eq!(parts_in(&plan), expected, "loads:\n{plan}");
    let view = "select event_type, payload from postgres_es_events where execution_id = $1";
    let plan = touched(&database, view, "uuid", &format!("'{id}'")).await;
    assert_eq!(parts_in(&plan), expected, "the view:\n{plan}");
    let logs = statement(include_str!("../../src/store/logs.rs"), "log of an attempt");
    let plan = touched(&database, logs, "uuid, text, int", &format!("'{id}', 'x', 1")).await;
    let expected = BTreeSet::from([named("stage_logs", this_month() + Months::new(1))]);
    assert_eq!(parts_in(&plan), expected, "logs:\n{plan}");
}

#[tokio::test]
async fn months_are_made_once_however_many_make_them() {
    let database = TestDatabase::new().await;
    let later = at(this_month() + Months::new(6));
    let store = database.store().await;
    let mut makers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        makers.spawn(async move { store.create_months(later).await.expect("months") });
    }
    let made: u32 = makers.join_all().await.into_iter().sum();
    let months = store.parts().await.expect("parts").months;
    let names: Vec<&str> = months.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names.last(), Some(&named("events", this_month() + Months::new(8)).as_str()));
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    assert!(made >= 12, "six months of two tables at the least, but {made} parts");
    assert_eq!(store.create_months(later).await.expect("months"), 0, "nothing is left to make");
}

#[tokio::test]
async fn what_waits_in_the_default_part_moves_when_its_month_is_made() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let far = this_month() + Months::new(5);
    let id = id_at(at(far) + Duration::days(3));
    insert(&database, id).await;
    assert_eq!(store.parts().await.expect("parts").outside, 1);
    store.create_months(at(far)).await.expect("months");
    assert_eq!(store.parts().await.expect("parts").outside, 0);
    assert_eq!(part_of(&database, id).await, named("events", far));
}

#[tokio::test]
async fn an_older_database_keeps_its_events_through_the_change() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    // The tables as version 0.1.0 made them, with rows, in a schema of their own.
    let setup = format!(
        "create schema old; set search_path = old;\n{}\n
         insert into events select '{}', g, gen_random_uuid(), 'x', 1, now(), 'test', '{{}}',
                                   sha256(g::text::bytea), 0, g from generate_series(1, 100) g;
         insert into events select '{}', g, gen_random_uuid(), 'x', 1, now(), 'test', '{{}}',
                                   sha256(g::text::bytea), 0, g from generate_series(1, 3) g;\n{}",
        include_str!("../../migrations/0001_event_log.sql"),
        Uuid::now_v7(),
        id_at(at(this_month() + Months::new(30))),
        include_str!("../../migrations/0009_months.sql"),
    );
    sqlx::raw_sql(&setup).execute(&mut connection).await.expect("the change");
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "select tableoid::regclass::text, count(*) from old.events group by 1 order by 1",
    )
    .fetch_all(&mut connection)
    .await
    .expect("counts");
    let expected = [(named("events", this_month()), 100), ("events_default".to_owned(), 3)];
    assert_eq!(counts, expected);
    let made: i32 = sqlx::query_scalar("select create_months(current_date + 62)")
        .fetch_one(&mut connection)
        .await
        .expect("months");
    assert!(made >= 4, "two months of two tables, but {made}");
}
