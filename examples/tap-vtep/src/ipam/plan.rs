//! `tap-vtep ipam plan`: what changes of a pool would orphan.

use std::fmt::Write as _;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{
    IpamError,
    cli::{Patience, PoolFile},
    edit::Edit,
    output::{Align, Table, print, print_json},
    pool::{Change, Pool, PoolError},
    row::Row,
    time::{now, utc},
};

/// What a change would orphan.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Effect {
    edit: Edit,
    orphans: Vec<Row>,
}

impl Serialize for Effect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut effect = serializer.serialize_struct("Effect", 3)?;
        effect.serialize_field("change", &self.edit.name())?;
        effect.serialize_field("value", &self.edit.value())?;
        effect.serialize_field("orphans", &self.orphans)?;
        effect.end()
    }
}

#[derive(Serialize)]
struct Plan {
    changes: Vec<Effect>,
    applied: bool,
}

impl Plan {
    /// Makes the changes one after the other, but for those that would orphan something.
    fn new(pool: &mut Pool, edits: &[Edit]) -> Result<(Self, Vec<Change>), PoolError> {
        let (mut effects, mut changes) = (Vec::new(), Vec::new());
        for &edit in edits {
            let orphans = pool.orphans(edit)?;
            if orphans.is_empty() {
                changes.push(pool.edit(edit)?);
            }
            effects.push(Effect { edit, orphans });
        }
        Ok((Self { changes: effects, applied: false }, changes))
    }

    fn orphans_nothing(&self) -> bool {
        self.changes.iter().all(|effect| effect.orphans.is_empty())
    }
}

/// Says what the changes would orphan, makes them if asked to, and says whether they orphan nothing.
pub(super) fn plan(file: &PoolFile, edits: &[Edit], apply: Option<Patience>, json: bool) -> Result<bool, IpamError> {
    let plan = match apply {
        None => Plan::new(&mut file.read()?, edits)?.0,
        Some(patience) => applied(file, edits, patience)?,
    };
    if json {
        print_json(&plan)?;
    } else {
        print(&text(&plan))?;
    }
    Ok(plan.orphans_nothing())
}

fn applied(file: &PoolFile, edits: &[Edit], patience: Patience) -> Result<Plan, IpamError> {
    let opened = file.open(patience)?;
    let mut made = None;
    opened.change(|pool| {
        pool.advance(now());
        let mut trial = pool.clone();
        let (mut plan, changes) = Plan::new(&mut trial, edits)?;
        plan.applied = plan.orphans_nothing();
        let is_applied = plan.applied;
        made = Some(plan);
        if !is_applied {
            return Ok(Vec::new());
        }
        *pool = trial;
        Ok(changes)
    })?;
    Ok(made.unwrap_or(Plan { changes: Vec::new(), applied: false }))
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for Effect { edit, orphans } in &plan.changes {
        let _ = write!(text, "{} {}: ", edit.option(), edit.value());
        match orphans.len() {
            0 => text.push_str("orphans nothing\n"),
            count => {
                let _ = writeln!(text, "would orphan {count}");
                let mut table = Table::new([("", Align::Left), ("", Align::Left), ("", Align::Left)]);
                for row in orphans {
                    table.row([row.name(), row.owner.clone(), format!("since {}", utc(row.since))]);
                }
                table.write(&mut text, "  ");
            }
        }
    }
    if plan.applied {
        text.push_str("applied\n");
    }
    text
}
