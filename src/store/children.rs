//! Which execution asked for which, and those whose parent has ended.

use super::connect::Store;
use super::error::StoreError;
use uuid::Uuid;

/// What becomes of a child when its parent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnParentEnd {
    /// It is cancelled.
    Cancel,
    /// It goes on.
    Abandon,
}

impl OnParentEnd {
    fn as_str(self) -> &'static str {
        match self {
            OnParentEnd::Cancel => "cancel",
            OnParentEnd::Abandon => "abandon",
        }
    }
}

const LINK: &str = r"/* link child */
insert into children (child_id, parent_id, root_id, stage, on_parent_end)
select $1, $2, coalesce((select root_id from children where child_id = $2), $2), $3, $4
on conflict (child_id) do nothing";

/// Children that go with their parent, and live.
const LIVING: &str = r"/* living children */
select c.child_id
  from children c join executions e on e.execution_id = c.child_id
 where c.parent_id = $1 and c.on_parent_end = 'cancel' and not c.settled
   and e.finished_at is null
 order by c.child_id";

/// Children that should have gone with their parent: whoever ended it was cut off before that.
const ORPHANS: &str = r"/* orphans */
select c.child_id
  from children c
  join executions p on p.execution_id = c.parent_id
  join executions e on e.execution_id = c.child_id
 where not c.settled and c.on_parent_end = 'cancel'
   and p.finished_at is not null and e.finished_at is null
 order by c.child_id limit 100";

const SETTLE: &str = r"/* settle child */
update children set settled = true where child_id = $1 and not settled";

impl Store {
    /// Notes that `stage` of `parent` asks for `child`; a repeat is harmless.
    pub async fn link_child(
        &self,
        child: Uuid,
        parent: Uuid,
        stage: &str,
        on_parent_end: OnParentEnd,
    ) -> Result<(), StoreError> {
        sqlx::query(LINK)
            .bind(child)
            .bind(parent)
            .bind(stage)
            .bind(on_parent_end.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Children of an execution that have not ended and are to be cancelled when it ends.
    pub async fn living_children(&self, parent: Uuid) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar(LIVING).bind(parent).fetch_all(&self.pool).await?)
    }

    /// Children that are to be cancelled because their parent has ended; some of them, if many.
    pub async fn orphans(&self) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar(ORPHANS).fetch_all(&self.pool).await?)
    }

    /// Notes that a child has ended.
    pub async fn settle_child(&self, child: Uuid) -> Result<(), StoreError> {
        sqlx::query(SETTLE).bind(child).execute(&self.pool).await?;
        Ok(())
    }
}
