//! The receive folder: safe opening, partials, names, metadata, and durability.
//!
//! Must not know the wire or a peer's words. Everything goes through open folders, one name at a
//! time, without following links, so that neither `..` nor a link, old or planted during a
//! transfer, leads outside.
//!
//! From the bottom up: `found`, `permissions`, `name`, `not_kept`, `owned`, `state`, `in_use`,
//! `turn`, `clash` and `space` cover one thing each; `marks` and `durability` track what is on
//! disk; `folder`, with `session_folders`, `names_there`, `times`, `plan` and `partial`, decides
//! where an entry goes; `context` holds what all entries of a session share; `held`, `publish`,
//! `incoming` and `link` give an entry its name; `mirror`, `surplus` and `removal` delete what a
//! mirror deletes; the rest of the program sees `directory` and `session`.

mod clash;
mod context;
mod directory;
mod durability;
mod entering;
mod folder;
mod found;
mod front;
mod held;
mod in_use;
mod incoming;
mod link;
mod marks;
mod mirror;
mod name;
mod names_there;
mod not_kept;
mod owned;
mod partial;
mod partial_record;
mod permissions;
mod plan;
mod publish;
mod removal;
mod session;
mod session_folders;
mod space;
mod state;
mod surplus;
mod times;
mod turn;

pub use context::{Access, LOCK_WAIT};
pub use directory::Store;
pub use folder::Folder;
pub use held::{HeldFile, HeldIn};
pub use incoming::Incoming;
pub use plan::{NewFile, STREAM};
pub use session::{Planned, StoreSession};
pub use session_folders::FailedFolder;
pub use turn::FileInUse;
