//! The open loop's plan: when each message is meant to be sent, whatever became of those before it. Latencies count from there,
//! so that a server that stops for a second is charged with all messages of that second (no coordinated omission).

/// Messages at a fixed rate, in turn from so many pairs, in bursts at the ticks of a clock. All times are microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When the first ones are meant to be sent.
    pub start_us: u64,
    /// From tick to tick. What is meant for the time between is sent at the tick before.
    pub tick_us: u64,
    /// Messages in a second, of all pairs together.
    pub rate: u64,
    /// How many pairs take turns.
    pub pairs: u64,
}

const SECOND_US: u64 = 1_000_000;

impl Schedule {
    /// How many messages of all pairs are meant to have been sent by `now_us`.
    pub fn due(&self, now_us: u64) -> u64 {
        match now_us.checked_sub(self.start_us) {
            None => 0,
            Some(passed_us) => ((passed_us / self.tick_us + 1) * self.tick_us * self.rate).div_ceil(SECOND_US),
        }
    }

    /// When the message with this number, counted over all pairs from 0, is meant to be sent.
    pub fn meant_us(&self, number: u64) -> u64 {
        let ticks = number * SECOND_US / (self.rate * self.tick_us);
        self.start_us + ticks * self.tick_us
    }

    /// The same schedule, seen by one pair.
    pub fn of_pair(self, pair: u64) -> Turn {
        Turn { schedule: self, pair }
    }
}

/// The part of a schedule that is one pair's: of every round of messages, one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    schedule: Schedule,
    pair: u64,
}

impl Turn {
    /// How many of the pair's messages are meant to have been sent by `now_us`.
    pub fn due(&self, now_us: u64) -> u64 {
        self.schedule.due(now_us).saturating_sub(self.pair).div_ceil(self.schedule.pairs)
    }

    /// When the pair's message with this number, from 0, is meant to be sent.
    pub fn meant_us(&self, number: u64) -> u64 {
        self.schedule.meant_us(number * self.schedule.pairs + self.pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Schedule = Schedule { start_us: 500, tick_us: 1000, rate: 300, pairs: 7 };
    const FAST: Schedule = Schedule { start_us: 0, tick_us: 250, rate: 100_003, pairs: 64 };

    #[test]
    fn a_message_is_due_from_the_tick_for_which_it_is_meant() {
        for schedule in [SLOW, FAST] {
            for number in 0..5_000 {
                let meant_us = schedule.meant_us(number);
                assert!(schedule.due(meant_us) > number, "message {number} of {schedule:?}");
                let before_us = meant_us.checked_sub(1).map_or(0, |before_us| schedule.due(before_us));
                assert!(before_us <= number, "message {number} of {schedule:?}");
                assert_eq!((meant_us - schedule.start_us) % schedule.tick_us, 0);
            }
        }
    }

    #[test]
    fn the_rate_is_kept_to_the_message() {
        for schedule in [SLOW, FAST] {
            for seconds in [1, 60, 3600] {
                let last_tick_us = schedule.start_us + seconds * SECOND_US - schedule.tick_us;
                assert_eq!(schedule.due(last_tick_us), schedule.rate * seconds);
            }
        }
    }

    #[test]
    fn nothing_is_due_before_the_start() {
        assert_eq!((SLOW.due(0), SLOW.due(499), SLOW.due(500)), (0, 0, 1));
    }

    #[test]
    fn the_turns_of_all_pairs_make_up_the_schedule() {
        for schedule in [SLOW, FAST] {
            for now_us in (0..2_000_000).step_by(3_333) {
                let turns = (0..schedule.pairs).map(|pair| schedule.of_pair(pair).due(now_us));
                assert_eq!(turns.sum::<u64>(), schedule.due(now_us));
            }
            let pair = schedule.of_pair(3);
            assert_eq!(pair.meant_us(10), schedule.meant_us(10 * schedule.pairs + 3));
        }
    }

    #[test]
    fn a_second_of_silence_makes_a_second_of_messages_due() {
        let (before, after) = (FAST.due(1_000_000), FAST.due(2_000_000));
        assert_eq!(after - before, FAST.rate);
        assert_eq!(FAST.meant_us(before), 1_000_250);
    }
}
