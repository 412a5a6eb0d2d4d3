//! When to look again after something has changed. It knows no clock: the time is an argument, counted from any beginning.

use std::time::Duration;

/// Without another change for so long, all that belongs together has come.
const QUIET: Duration = Duration::from_secs(1);

/// Changes that do not end are looked at after so long all the same.
const LONGEST: Duration = Duration::from_secs(10);

/// However long a run took, the pause behind it is no longer.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Turns many changes into few runs.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    /// The first and the last change since the last run.
    changes: Option<(Duration, Duration)>,
    /// When to run although nothing has changed.
    again: Option<Duration>,
    /// The pause behind the last run.
    rest_until: Duration,
}

impl Debounce {
    /// Something has changed.
    pub(super) fn note(&mut self, now: Duration) {
        let first = self.changes.map_or(now, |(first, _)| first);
        self.changes = Some((first, now));
    }

    /// A run is wanted at this time, whatever changes.
    pub(super) fn run_at(&mut self, time: Duration) {
        self.again = Some(self.again.map_or(time, |known| known.min(time)));
    }

    /// When to run; `None` if there is nothing to run for.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let changes = self.changes.map(|(first, last)| (last + QUIET).min(first + LONGEST));
        let due = [changes, self.again].into_iter().flatten().min()?;
        Some(due.max(self.rest_until))
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due_at().is_some_and(|due| due <= now)
    }

    /// A run begins, which sees all that has changed so far.
    pub(super) fn begin(&mut self) {
        (self.changes, self.again) = (None, None);
    }

    /// The run has ended. Running takes half of the time at most, however large the library and however much changes.
    pub(super) fn end(&mut self, now: Duration, took: Duration) {
        self.rest_until = now + took.min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nothing_is_due_without_a_change() {
        let debounce = Debounce::default();
        assert!(debounce.due_at().is_none() && !debounce.is_due(ms(1_000_000)));
    }

    #[test]
    fn a_run_comes_when_it_is_quiet() {
        let mut debounce = Debounce::default();
        for now in [0, 400, 900] {
            debounce.note(ms(now));
        }
        assert_eq!(debounce.due_at(), Some(ms(1_900)));
        assert!(!debounce.is_due(ms(1_899)) && debounce.is_due(ms(1_900)));
        debounce.begin();
        assert_eq!(debounce.due_at(), None);
    }

    #[test]
    fn a_stream_without_an_end_does_not_put_it_off() {
        let mut debounce = Debounce::default();
        let n_noted = (0..).map(|n| ms(n * 100)).find(|&now| {
            debounce.note(now);
            debounce.is_due(now)
        });
        assert_eq!(n_noted, Some(LONGEST));
    }

    #[test]
    fn runs_take_half_of_the_time() {
        let mut debounce = Debounce::default();
        debounce.begin();
        // What changes while it runs is looked at by the next.
        debounce.note(ms(500));
        debounce.end(ms(8_000), ms(8_000));
        assert_eq!(debounce.due_at(), Some(ms(16_000)));
        debounce.end(ms(500_000), ms(500_000));
        assert_eq!(debounce.due_at(), Some(ms(500_000) + LONGEST_REST));
    }

    #[test]
    fn the_earlier_reason_counts() {
        let mut debounce = Debounce::default();
        debounce.run_at(ms(5_000));
        debounce.run_at(ms(9_000));
        assert_eq!(debounce.due_at(), Some(ms(5_000)));
        debounce.note(ms(100));
        assert_eq!(debounce.due_at(), Some(ms(1_100)));
        debounce.begin();
        assert_eq!(debounce.due_at(), None);
    }
}
