//! Schedules of all capabilities: they are listed, and fired at once.

use essaim_contract::{Failure, FailureKind};
use essaim_durable::schedule::Timetable;
use essaim_store::tables::schedules;

use crate::api::*;
use crate::dead_letters::failed;
use crate::host::HostOperator;
use crate::operation::Operation;
use crate::requests::{Operator, OperatorRequest, Refusal};

impl OperatorRequest for ListSchedules {
    async fn answer(self, operator: &Operator) -> Result<Schedules, Refusal> {
        let mut found = Schedules { asked_at_ms: operator.env.wall_ms(), ..Schedules::default() };
        for capability in operator.capabilities().await? {
            match operator.ask_host::<Vec<ScheduleLine>>(&capability, &Operation::ListSchedules).await {
                Ok(lines) => found.schedules.extend(lines),
                Err(why) => found.away.push(Away { capability, why }),
            }
        }
        Ok(found)
    }
}

impl OperatorRequest for FireSchedule {
    async fn answer(self, operator: &Operator) -> Result<FiredSchedule, Refusal> {
        let Self { capability, name } = self;
        if !operator.capabilities_to_change().await?.contains(&capability) {
            return Err(Refusal::Wrong(format!("there is no capability `{capability}`")));
        }
        let fire = async {
            let fired = operator.ask_host::<Option<String>>(&capability, &Operation::FireSchedule(name.clone())).await;
            match fired.map_err(Refusal::Away)? {
                Some(id) => Ok(FiredSchedule { id }),
                None => Err(Refusal::Wrong(format!("`{capability}` has no schedule `{name}`"))),
            }
        };
        operator.audited(format!("fires the schedule {name} of {capability}"), fire).await
    }
}

impl HostOperator {
    /// Its schedules, with how far they have come.
    pub async fn list_schedules(&self) -> Result<Vec<ScheduleLine>, Failure> {
        let timetables = self.host.timetables();
        let (Some(database), false) = (self.host.database(), timetables.is_empty()) else { return Ok(Vec::new()) };
        let known = schedules::read(database.reads()).await.map_err(failed)?;
        let now_ms = self.env.wall_ms();
        let line = |timetable: &Timetable| {
            let last_ms = known.iter().find(|row| row.name == timetable.name()).map(|row| row.planned_ms);
            ScheduleLine {
                capability: self.host.name.to_string(),
                name: timetable.name().into(),
                cron: timetable.cron().into(),
                zone: timetable.zone().into(),
                last_ms,
                next_ms: timetable.expression.after(now_ms),
            }
        };
        Ok(timetables.iter().map(line).collect())
    }

    /// Sends the command of a schedule now, beside its set times; its id, or none if there is no such schedule.
    pub async fn fire_schedule(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(timetable) = self.host.timetables().iter().find(|timetable| timetable.name() == name) else {
            return Ok(None);
        };
        let fired = self.durable.fire(timetable).await;
        let id = fired.map_err(|e| Failure { kind: FailureKind::Error, detail: e.to_string() })?;
        Ok(Some(id.to_string()))
    }
}
