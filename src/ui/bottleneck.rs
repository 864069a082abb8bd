//! The words for what a transfer was limited by.
//!
//! Must not measure: the lanes do.

use xfer::model::outcome::{Role, Shares};

/// Lines on where the time of the lanes went, and what was the limit.
pub(crate) fn lines(role: Role, here: Shares, receiver: Shares) -> Vec<String> {
    let side = |name: &str, disk: &str, network: &str, of: Shares| {
        let percent = |permille: u16| format!("{} %", (permille.min(1000) + 5) / 10);
        format!(
            "  {name}: {disk} {}, hashing {}, {network} {}, waiting for work {}",
            percent(of.disk),
            percent(of.processor),
            percent(of.network),
            percent(of.waiting)
        )
    };
    match role {
        Role::Receiver if here.is_known() => vec![
            side("this receiver", "writing", "receiving", here),
            format!("  limited by {}", receivers_limit(here, "this receiver")),
        ],
        Role::Sender if here.is_known() => {
            let mut lines = vec![side("this sender", "reading", "sending", here)];
            if receiver.is_known() {
                lines.push(side("the receiver", "writing", "receiving", receiver));
            }
            lines.push(format!("  limited by {}", limit(here, receiver)));
            lines
        }
        _ => Vec::new(),
    }
}

/// What the receiver's lanes spent most of their time with.
fn receivers_limit(of: Shares, name: &str) -> String {
    let most = of.disk.max(of.processor).max(of.network);
    if most == of.network {
        let idle = (1000 - of.network.min(1000) + 5) / 10;
        format!("the network or the sender; {name} was busy {idle} % of the time")
    } else if most == of.disk {
        format!("{name}'s disk")
    } else {
        format!("{name}'s processor")
    }
}

fn limit(sender: Shares, receiver: Shares) -> String {
    let most = sender.disk.max(sender.processor);
    let most = most.max(sender.network).max(sender.waiting);
    let idle = (1000 - sender.network.min(1000) + 5) / 10;
    let idle = format!("nothing was being sent {idle} % of the time");
    if most == sender.network && receiver.is_known() {
        // It waited for the other side to take what it sent: so that side says why.
        return match receiver.network >= receiver.disk.max(receiver.processor) {
            true => "the network".to_owned(),
            false => receivers_limit(receiver, "the receiver"),
        };
    }
    if most == sender.network {
        "the network or the receiver".to_owned()
    } else if most == sender.waiting {
        format!("what the receiver asked for, or there was little to do; {idle}")
    } else if most == sender.disk {
        format!("this sender's disk; {idle}")
    } else {
        format!("this sender's processor; {idle}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(disk: u16, processor: u16, network: u16, waiting: u16) -> Shares {
        Shares {
            disk,
            processor,
            network,
            waiting,
        }
    }

    fn last(role: Role, here: Shares, receiver: Shares) -> String {
        lines(role, here, receiver).pop().unwrap_or_default()
    }

    #[test]
    fn the_limit_has_a_name() {
        let free = shares(100, 100, 800, 0);
        let slow_disk = shares(700, 100, 200, 0);
        let slow_processor = shares(100, 700, 200, 0);
        let sends = |here, receiver| last(Role::Sender, here, receiver);
        assert_eq!(sends(free, free), "  limited by the network");
        assert_eq!(sends(free, slow_disk), "  limited by the receiver's disk");
        assert_eq!(
            sends(free, slow_processor),
            "  limited by the receiver's processor"
        );
        assert_eq!(
            sends(slow_disk, free),
            "  limited by this sender's disk; nothing was being sent 80 % of the time"
        );
        assert_eq!(
            last(Role::Receiver, slow_disk, Shares::default()),
            "  limited by this receiver's disk"
        );
        assert!(lines(Role::Sender, Shares::default(), free).is_empty());
    }
}
