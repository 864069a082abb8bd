//! What `send`, `say`, `run`, `chat` and `pair` share: they dial another machine.
//!
//! Must not know what they say to it.

use std::sync::Arc;

use xfer::model::outcome::Summary;
use xfer::model::progress::Progress;
use xfer::model::prompt::Prompt;
use xfer::transfer::{Cancel, Device, RunFrom};

use super::arguments::{CodeFrom, Events, Loudness};
use super::exit::{Code, conclude};
use super::hints::Task;
use super::{debug, machine, signals};
use crate::ui::{OutputOptions, TerminalPrompt, Ui};

/// Everything needed to dial.
pub(super) struct Dialer {
    task: Task,
    pub(super) ui: Arc<Ui>,
    cancel: Cancel,
    person: Arc<dyn Prompt>,
    device: xfer::Result<Device>,
}

impl Dialer {
    pub(super) fn new(
        task: Task,
        loudness: &Loudness,
        events: Option<&Events>,
        code: &CodeFrom,
    ) -> Self {
        let settings = loudness.settings(task.hints());
        let settings = OutputOptions {
            // Standard output carries only what others say.
            only_stderr: task == Task::Chat,
            // Output of a room or a command takes the place of bars.
            plain: settings.plain || matches!(task, Task::Chat | Task::Run),
            ..settings
        };
        let ui = Ui::new(match events {
            Some(events) => events.with(settings),
            None => settings,
        });
        if loudness.is_very_verbose() {
            debug::show(&ui);
        }
        ui.start();
        let cancel = Cancel::new();
        let person = TerminalPrompt::at(&ui, &cancel, code.given());
        let device = machine::device();
        Self {
            task,
            ui,
            cancel,
            person,
            device,
        }
    }

    /// Dials for something other than files, until Ctrl-C.
    pub(super) fn ask<T>(
        self,
        dial: impl FnOnce(RunFrom<'_>) -> xfer::Result<T>,
    ) -> (Cancel, xfer::Result<T>) {
        let watched = signals::watch(&self.ui, &self.cancel);
        let progress: Arc<dyn Progress> = Arc::clone(&self.ui) as _;
        let result = watched.and(self.device).and_then(|device| {
            dial(RunFrom {
                device: &device,
                prompt: &self.person,
                progress: &progress,
                cancel: &self.cancel,
            })
        });
        (self.cancel, result)
    }

    /// Dials, until Ctrl-C, and reports how it ended.
    pub(super) fn run(
        self,
        dial: impl FnOnce(
            &Device,
            &Arc<dyn Prompt>,
            &Arc<dyn Progress>,
            &Cancel,
        ) -> xfer::Result<Option<Summary>>,
    ) -> Code {
        let watched = signals::watch(&self.ui, &self.cancel);
        let progress: Arc<dyn Progress> = Arc::clone(&self.ui) as _;
        let result = watched
            .and(self.device)
            .and_then(|device| dial(&device, &self.person, &progress, &self.cancel));
        conclude(&self.ui, self.task, result, &self.cancel)
    }
}
