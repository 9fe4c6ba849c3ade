//! Finding the newest events without an index: they lie at the end of the table.
//!
//! An index on (lane, lane_sequence) would cost every append its write. Lanes have no gaps, so that
//! the number of events between two positions is known beforehand: the end of the table is read, and
//! if not all are found there, more of it, and then the whole.

use super::generation::distance;
use crate::store::Session;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Pages of each table that are read first, then, then. A new event may fill a gap further in front.
const PAGES: [i64; 3] = [128, 8_192, i64::MAX];

/// What lies between two positions.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The streams that it belongs to.
    pub(super) streams: BTreeSet<Uuid>,
    /// How many events were found; fewer than there must be only if the log has lost some.
    pub(super) found: i64,
    /// When the first of them happened.
    pub(super) oldest: Option<DateTime<Utc>>,
}

const LEAVES: &str = r"/* tables of the log */
select relid::regclass::text, pg_relation_size(relid) / current_setting('block_size')::bigint
  from pg_partition_tree('events') where isleaf";

/// Reads what lies between `applied` and `target`.
pub(super) async fn read(
    connection: &mut Session,
    applied: &[i64],
    target: &[i64],
) -> Result<Tail, sqlx::Error> {
    let expected = distance(applied, target);
    let leaves: Vec<(String, i64)> = sqlx::query_as(LEAVES).fetch_all(&mut *connection).await?;
    let mut tail = Tail::default();
    for pages in PAGES {
        tail = Tail::default();
        for (leaf, size) in &leaves {
            let first = (size - pages.min(*size)).max(0);
            let text = format!(
                "/* tail */ select execution_id, count(*), min(at) from only {leaf} \
                  where ctid >= $3::text::tid \
                    and lane_sequence > coalesce(($1::bigint[])[lane + 1], 0) \
                    and lane_sequence <= coalesce(($2::bigint[])[lane + 1], 0) group by execution_id"
            );
            let rows: Vec<(Uuid, i64, DateTime<Utc>)> = sqlx::query_as(&text)
                .bind(applied)
                .bind(target)
                .bind(format!("({first},0)"))
                .fetch_all(&mut *connection)
                .await?;
            for (stream, count, at) in rows {
                tail.streams.insert(stream);
                tail.found += count;
                tail.oldest = Some(tail.oldest.map_or(at, |o| o.min(at)));
            }
        }
        if tail.found == expected {
            break;
        }
    }
    Ok(tail)
}
