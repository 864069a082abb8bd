//! Who may reach a file: lists of permissions.
//!
//! Must not lock out this user, the system, or those who administer the machine.
//!
//! Wine makes these lists of the modes of the files below it: on a Windows with more than one user
//! this was never run.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle, RawHandle};
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_SUCCESS, GENERIC_ALL, GENERIC_READ, GENERIC_WRITE, LocalFree, WIN32_ERROR,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce,
    GetTokenInformation, INHERIT_ONLY_ACE, IsWellKnownSid, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SetKernelObjectSecurity,
    TOKEN_QUERY, TOKEN_USER, TokenUser, WELL_KNOWN_SID_TYPE, WinBuiltinAdministratorsSid,
    WinCreatorOwnerRightsSid, WinCreatorOwnerSid, WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_FLAG_BACKUP_SEMANTICS, FILE_READ_DATA,
    FILE_WRITE_DATA, READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::SystemServices::{
    ACCESS_ALLOWED_ACE_TYPE, ACCESS_ALLOWED_CALLBACK_ACE_TYPE,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// What lets somebody read something, change it, or let themselves do so.
const READ_OR_CHANGE: u32 = FILE_READ_DATA
    | FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_DELETE_CHILD
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
    | GENERIC_READ
    | GENERIC_WRITE
    | GENERIC_ALL;
/// Full access, and the same for all that comes to be in a folder.
const FULL_BELOW: &str = "OICI;FA";
/// Who may reach everything: the system, and those who administer the machine.
const TRUSTED: [WELL_KNOWN_SID_TYPE; 4] = [
    WinLocalSystemSid,
    WinBuiltinAdministratorsSid,
    // They stand for who owns the file.
    WinCreatorOwnerSid,
    WinCreatorOwnerRightsSid,
];

/// Memory that the system has set aside, given back when it is dropped.
#[derive(Debug)]
struct Local(*mut std::ffi::c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the system made it to be given back by this, and nobody else has it.
        #[allow(unsafe_code)]
        unsafe {
            LocalFree(self.0);
        }
    }
}

/// The user that this process works for.
struct User(Vec<u64>);

impl User {
    fn of_process() -> io::Result<Self> {
        let mut token = ptr::null_mut();
        // SAFETY: the system writes a handle, which this then owns.
        #[allow(unsafe_code)]
        let token = unsafe {
            ok(OpenProcessToken(
                GetCurrentProcess(),
                TOKEN_QUERY,
                &raw mut token,
            ))?;
            OwnedHandle::from_raw_handle(token)
        };
        // Aligned as the structure has to be; a SID has 68 bytes at most.
        let mut user = vec![0_u64; 32];
        let room = u32::try_from(size_of_val(&*user)).unwrap_or_default();
        let mut used = 0;
        // SAFETY: the system writes no more than `room` bytes.
        #[allow(unsafe_code)]
        ok(unsafe {
            GetTokenInformation(
                token.as_raw_handle(),
                TokenUser,
                user.as_mut_ptr().cast(),
                room,
                &raw mut used,
            )
        })?;
        Ok(Self(user))
    }

    fn sid(&self) -> PSID {
        // SAFETY: `of_process` had the system write the structure there.
        #[allow(unsafe_code)]
        unsafe {
            (*self.0.as_ptr().cast::<TOKEN_USER>()).User.Sid
        }
    }

    /// As it is written: `S-1-5-21-…`.
    fn text(&self) -> io::Result<String> {
        let mut text = ptr::null_mut();
        // SAFETY: the system makes a string that ends with 0, which `_text` gives back.
        #[allow(unsafe_code)]
        unsafe {
            ok(ConvertSidToStringSidW(self.sid(), &raw mut text))?;
            let _text = Local(text.cast());
            let len = (0..).take_while(|&at| *text.add(at) != 0).count();
            Ok(String::from_utf16_lossy(std::slice::from_raw_parts(
                text, len,
            )))
        }
    }
}

/// Has this user, the system and those who administer the machine reach an open file or folder,
/// and nobody else. The handle needs [`WRITE_DAC`].
pub(super) fn make_private(handle: RawHandle) -> io::Result<()> {
    let user = User::of_process()?.text()?;
    let list: String = [user.as_str(), "SY", "BA"]
        .map(|who| format!("(A;{FULL_BELOW};;;{who})"))
        .concat();
    let units: Vec<u16> = format!("D:P{list}\0").encode_utf16().collect();
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    // What is new has nothing in it that would have to be told, so the simpler call does. Wine takes
    // the other one and lets everybody read.
    let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the string ends with 0, and `_descriptor` gives back what the system makes of it.
    #[allow(unsafe_code)]
    unsafe {
        ok(ConvertStringSecurityDescriptorToSecurityDescriptorW(
            units.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            ptr::null_mut(),
        ))?;
        let _descriptor = Local(descriptor);
        ok(SetKernelObjectSecurity(handle, what, descriptor))
    }
}

/// Opens what has a path so that [`make_private`] can be asked of it, a folder too.
pub(super) fn open_to_change(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.access_mode(READ_CONTROL | WRITE_DAC);
    options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
}

/// Whether anybody but this user, the system and those who administer the machine may read or
/// change what is at a path.
pub(super) fn is_open_to_others(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.access_mode(READ_CONTROL);
    let file = options
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)?;
    let user = User::of_process()?;
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    let mut dacl: *mut ACL = ptr::null_mut();
    let mut owner: PSID = ptr::null_mut();
    // SAFETY: the system makes a descriptor, which `_descriptor` gives back, with the owner and the
    // list in it.
    #[allow(unsafe_code)]
    unsafe {
        no_error(GetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            ptr::null_mut(),
            &raw mut dacl,
            ptr::null_mut(),
            &raw mut descriptor,
        ))?;
        let _descriptor = Local(descriptor);
        // Without a list, everybody may do everything.
        if dacl.is_null() || !is_trusted(owner, &user) {
            return Ok(true);
        }
        for number in 0..(*dacl).AceCount {
            if lets_in_others(dacl, number.into(), &user)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether an entry of a list lets in anybody else.
///
/// # Safety
///
/// `dacl` is a list that lives for as long as this runs.
#[allow(unsafe_code)]
unsafe fn lets_in_others(dacl: *const ACL, number: u32, user: &User) -> io::Result<bool> {
    let mut ace = ptr::null_mut();
    // SAFETY: the caller says that the list is there. Every entry begins with a header, and one
    // that allows something goes on as this structure, whose end is the beginning of a SID.
    unsafe {
        ok(GetAce(dacl, number, &raw mut ace))?;
        let header = *ace.cast::<ACE_HEADER>();
        // Those of other kinds forbid, or watch.
        let kinds = [ACCESS_ALLOWED_ACE_TYPE, ACCESS_ALLOWED_CALLBACK_ACE_TYPE];
        let allows = kinds.contains(&u32::from(header.AceType));
        if !allows || u32::from(header.AceFlags) & INHERIT_ONLY_ACE != 0 {
            return Ok(false);
        }
        let ace = ace.cast::<ACCESS_ALLOWED_ACE>();
        let sid: PSID = (&raw mut (*ace).SidStart).cast();
        Ok(!is_trusted(sid, user) && (*ace).Mask & READ_OR_CHANGE != 0)
    }
}

/// Whether somebody is this user, the system, or one of those who administer the machine.
///
/// # Safety
///
/// `sid` is a SID that lives for as long as this runs.
#[allow(unsafe_code)]
unsafe fn is_trusted(sid: PSID, user: &User) -> bool {
    // SAFETY: the caller says that the first is there, and `user` has the second.
    unsafe {
        EqualSid(sid, user.sid()) != 0
            || TRUSTED.iter().any(|known| IsWellKnownSid(sid, *known) != 0)
    }
}

fn ok(done: i32) -> io::Result<()> {
    match done {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn no_error(error: WIN32_ERROR) -> io::Result<()> {
    match error {
        ERROR_SUCCESS => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.cast_signed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_user_reaches_what_is_private() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        std::fs::write(&path, "x").unwrap();
        make_private(open_to_change(&path).unwrap().as_raw_handle()).unwrap();
        assert!(!is_open_to_others(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
    }

    #[test]
    fn a_user_has_a_name() {
        let user = User::of_process().unwrap();
        assert!(user.text().unwrap().starts_with("S-1-"));
    }
}
