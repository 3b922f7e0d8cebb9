//! Holds: after a dead letter its key may wait until somebody has dealt with the letter.

use std::rc::Rc;

use super::{KeyState, LogMessage, OrderKey, ParkedPlace, Queue};

impl Queue {
    /// The order is on hold after the death of the message that was worked on; what waited behind it in memory must be parked.
    pub fn hold(&mut self, order: &OrderKey) -> Vec<Rc<LogMessage>> {
        let behind = self.enter_parked(order);
        if let Some(KeyState::Parked(parked)) = self.orders.get_mut(order) {
            (parked.held, parked.running) = (true, false);
        }
        self.schedule(order);
        behind
    }

    /// As [`Queue::hold`], after the death of a message that had no turn, such as one that was on its way into the database.
    /// One of its order that is being worked on goes on, and keeps the order's turn.
    pub fn hold_beside(&mut self, order: &OrderKey) -> Vec<Rc<LogMessage>> {
        let ready = self.ready.iter().position(|next| next.order() == order).and_then(|at| self.ready.remove(at));
        match (self.orders.get_mut(order), ready) {
            (Some(KeyState::Parked(parked)), _) => {
                parked.held = true;
                self.schedule(order);
                Vec::new()
            }
            (Some(KeyState::Busy(busy)), None) => {
                busy.held = true;
                Vec::new()
            }
            // The one that has the turn was not begun yet.
            (Some(KeyState::Busy(busy)), Some(next)) => {
                busy.behind.push_front(next);
                self.hold(order)
            }
            (None, _) => self.hold(order),
        }
    }

    /// As [`Queue::hold`], after the death of a message that waited in the database.
    pub fn hold_after(&mut self, place: &ParkedPlace) -> Vec<Rc<LogMessage>> {
        let behind = self.enter_parked(&place.order);
        if let Some(KeyState::Parked(parked)) = self.orders.get_mut(&place.order) {
            parked.rows.remove(&place.seq);
        }
        self.forget_stored();
        let _ = self.hold(&place.order);
        behind
    }

    /// The hold of an order ends.
    pub fn release(&mut self, order: &OrderKey) {
        match self.orders.get_mut(order) {
            Some(KeyState::Busy(busy)) => busy.held = false,
            Some(KeyState::Parked(parked)) => {
                parked.held = false;
                self.settle(order);
            }
            None => {}
        }
    }
}
