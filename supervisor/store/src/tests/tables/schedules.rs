//! Schedules.

use super::in_a_transaction;
use crate::tables::schedules::{self, ScheduleRow};

#[tokio::test]
async fn the_last_firing_of_each_schedule_is_known() {
    in_a_transaction(async |tx| {
        let nightly =
            ScheduleRow { name: "nightly".into(), expression: "0 3 * * *".into(), zone: "UTC".into(), planned_ms: 1 };
        let hourly = ScheduleRow { name: "it's hourly".into(), ..nightly.clone() };
        for schedule in [&nightly, &hourly] {
            schedules::set(tx, schedule).await.unwrap();
        }
        let later = ScheduleRow { planned_ms: 2, zone: "Europe/Paris".into(), ..nightly };
        schedules::set(tx, &later).await.unwrap();
        assert_eq!(schedules::read(tx).await.unwrap(), [hourly, later]);
    })
    .await;
}
