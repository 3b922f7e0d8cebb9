//! Cron expressions in time zones. (croner reads them as Vixie's cron does; the zones are those of the IANA database: the
//! machine's, or those compiled in where it has none.)

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// When something happens again and again.
#[derive(Debug, Clone)]
pub struct CronExpression {
    cron: Cron,
    zone: TimeZone,
}

/// What of a cron expression cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error("`{cron}` is no cron expression: {why}")]
    Expression { cron: String, why: String },
    #[error("`{0}` is no time zone, such as Europe/Paris")]
    Zone(String),
}

impl CronExpression {
    /// Reads an expression and the name of a time zone.
    ///
    /// # Errors
    /// Which of them cannot be understood.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, CronError> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let wrong = |e: croner::errors::CronError| CronError::Expression { cron: cron.into(), why: e.to_string() };
        let parsed = parser.parse(cron).map_err(wrong)?;
        let zone = TimeZone::get(zone).map_err(|_| CronError::Zone(zone.into()))?;
        Ok(Self { cron: parsed, zone })
    }

    /// The first moment after that one, in milliseconds since 1970; `None` if there is none.
    pub fn after(&self, ms: u64) -> Option<u64> {
        self.cron.find_next_occurrence(&self.zoned(ms)?, false).ok().and_then(moment)
    }

    /// The last moment before that one.
    pub fn before(&self, ms: u64) -> Option<u64> {
        self.cron.find_previous_occurrence(&self.zoned(ms)?, false).ok().and_then(moment)
    }

    fn zoned(&self, ms: u64) -> Option<Zoned> {
        Some(Timestamp::from_millisecond(ms.try_into().ok()?).ok()?.to_zoned(self.zone.clone()))
    }
}

fn moment(zoned: Zoned) -> Option<u64> {
    zoned.timestamp().as_millisecond().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond() as u64
    }

    /// The firings between two moments, in UTC, found forwards and found backwards.
    fn firings(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let expression = CronExpression::parse(cron, zone).unwrap();
        let until = |at: &u64| *at <= ms(to);
        let forwards: Vec<_> =
            std::iter::successors(expression.after(ms(from)), |at| expression.after(*at)).take_while(until).collect();
        let since = |at: &u64| *at > ms(from);
        let latest = expression.before(ms(to) + 1_000);
        let mut backwards: Vec<_> =
            std::iter::successors(latest, |at| expression.before(*at)).take_while(since).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards, "{cron} in {zone}");
        forwards.iter().map(|at| Timestamp::from_millisecond(*at as i64).unwrap().to_string()).collect()
    }

    #[test]
    fn an_expression_is_read_in_its_zone() {
        let day = ("2026-01-14T12:00:00Z", "2026-01-15T12:00:00Z");
        assert_eq!(firings("30 3 * * *", "Europe/Paris", day.0, day.1), ["2026-01-15T02:30:00Z"]);
        assert_eq!(firings("30 3 * * *", "UTC", day.0, day.1), ["2026-01-15T03:30:00Z"]);
        assert_eq!(firings("5,10 0 12 * * *", "UTC", day.0, day.1), ["2026-01-14T12:00:05Z", "2026-01-14T12:00:10Z"]);
    }

    #[test]
    fn a_time_that_the_clocks_leave_out_fires_right_after_the_gap() {
        // In Paris 02:00 to 03:00 does not exist on 29 March 2026.
        let night = ("2026-03-28T12:00:00Z", "2026-03-30T00:20:00Z");
        assert_eq!(firings("30 2 * * *", "Europe/Paris", night.0, night.1), ["2026-03-29T01:00:00Z"]);
    }

    #[test]
    fn steps_that_the_clocks_leave_out_are_left_out() {
        let hours = ("2026-03-29T00:10:00Z", "2026-03-29T01:40:00Z");
        let expected = ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"];
        assert_eq!(firings("*/30 * * * *", "Europe/Paris", hours.0, hours.1), expected);
        assert!(firings("*/30 2 * * *", "Europe/Paris", hours.0, hours.1).is_empty());
    }

    #[test]
    fn a_time_that_comes_twice_fires_the_first_time_and_steps_fire_both_times() {
        // In Paris 02:00 to 03:00 comes twice on 25 October 2026: from 00:00 and from 01:00 UTC.
        let night = ("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
        assert_eq!(firings("30 2 * * *", "Europe/Paris", night.0, night.1), ["2026-10-25T00:30:00Z"]);
        let expected = ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
        assert_eq!(firings("*/30 2 * * *", "Europe/Paris", night.0, night.1), expected);
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let wrong = CronExpression::parse("61 * * * *", "UTC").unwrap_err().to_string();
        assert!(wrong.starts_with("`61 * * * *` is no cron expression"), "{wrong}");
        assert_eq!(
            CronExpression::parse("* * * * *", "Paris").unwrap_err().to_string(),
            "`Paris` is no time zone, such as Europe/Paris"
        );
    }

    #[test]
    fn a_day_that_never_comes_is_never() {
        let never = CronExpression::parse("0 0 30 2 *", "UTC");
        assert!(never.is_err() || never.is_ok_and(|expression| expression.after(0).is_none()));
    }
}
