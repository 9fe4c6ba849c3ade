-- Which execution asked for which. A row is there before its child is, so that a crash in between
-- leaves a link without a child, and never a child without a link.
create table children (
    child_id       uuid primary key,
    parent_id      uuid not null,
    root_id        uuid not null,          -- the first of the line; whoever works for it alone works for all
    stage          text not null,          -- of the parent
    on_parent_end  text not null check (on_parent_end in ('cancel', 'abandon')),
    settled        boolean not null default false  -- the child has ended
);

create index children_of_parent on children (parent_id);
create index children_unsettled on children (parent_id) where not settled;
