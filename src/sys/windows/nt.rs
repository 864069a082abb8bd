//! The calls of `ntdll` by which a name is looked up in a folder that is held open.
//!
//! Must not take a path: a name is one component, and what would make two of it, or reach a stream
//! of a file, is refused here. Errors carry the code of Win32 that stands for the status.

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::os::windows::io::{FromRawHandle as _, OwnedHandle, RawHandle};
use std::ptr;

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{
    FILE_DIRECTORY_FILE, FILE_OPEN, FILE_OPEN_FOR_BACKUP_INTENT, FILE_OPEN_REPARSE_POINT,
    FILE_SYNCHRONOUS_IO_NONALERT, NTCREATEFILE_CREATE_DISPOSITION, NTCREATEFILE_CREATE_OPTIONS,
    NtCreateFile, NtFsControlFile, NtQueryInformationFile, NtQueryVolumeInformationFile,
    NtSetInformationFile,
};
use windows_sys::Win32::Foundation::{
    ERROR_DELETE_PENDING, ERROR_DIRECTORY_NOT_SUPPORTED, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME,
    NTSTATUS, OBJ_CASE_INSENSITIVE, RtlNtStatusToDosError, STATUS_BUFFER_OVERFLOW,
    STATUS_DELETE_PENDING, STATUS_FILE_IS_A_DIRECTORY, STATUS_OBJECT_NAME_INVALID,
    STATUS_OBJECT_PATH_SYNTAX_BAD, UNICODE_STRING,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, SYNCHRONIZE,
};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

/// Others may do to an open file what they may do to one on a Unix.
const SHARE_ALL: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Whether something behind a name is to be reached, or the link that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Link,
    Target,
}

/// An error of a status.
pub(super) fn error_of(status: NTSTATUS) -> io::Error {
    let code = match status {
        STATUS_OBJECT_NAME_INVALID | STATUS_OBJECT_PATH_SYNTAX_BAD => ERROR_INVALID_NAME,
        STATUS_FILE_IS_A_DIRECTORY => ERROR_DIRECTORY_NOT_SUPPORTED,
        // Its name is free as soon as the last one lets go of it.
        STATUS_DELETE_PENDING => ERROR_FILE_NOT_FOUND,
        // SAFETY: it takes a number and gives one.
        #[allow(unsafe_code)]
        other => unsafe { RtlNtStatusToDosError(other) },
    };
    error_with(code)
}

/// An error with this code of Win32.
pub(super) fn error_with(code: u32) -> io::Error {
    io::Error::from_raw_os_error(code.cast_signed())
}

/// Whether an error has this code of Win32.
pub(super) fn is_code(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

fn check(status: NTSTATUS) -> io::Result<()> {
    match status >= 0 {
        true => Ok(()),
        false => Err(error_of(status)),
    }
}

/// A text as the system takes it, which lives for as long as `units`.
pub(super) fn text(units: &[u16]) -> io::Result<(UNICODE_STRING, PhantomData<&[u16]>)> {
    let bytes = u16::try_from(size_of_val(units)).map_err(|_| error_with(ERROR_INVALID_NAME))?;
    let text = UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: units.as_ptr().cast_mut(),
    };
    Ok((text, PhantomData))
}

/// How something is opened or made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    pub(super) access: u32,
    pub(super) disposition: NTCREATEFILE_CREATE_DISPOSITION,
    pub(super) options: NTCREATEFILE_CREATE_OPTIONS,
    pub(super) behind: Behind,
}

/// Opens or makes what has a name in an open folder; the folder itself, where the name is empty.
pub(super) fn open(folder: RawHandle, name: &[u16], opening: Opening) -> io::Result<OwnedHandle> {
    let (name, _) = text(name)?;
    let attributes = OBJECT_ATTRIBUTES {
        Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).unwrap_or_default(),
        RootDirectory: folder,
        ObjectName: &raw const name,
        Attributes: OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: ptr::null(),
        SecurityQualityOfService: ptr::null(),
    };
    let reparse = match opening.behind {
        Behind::Link => FILE_OPEN_REPARSE_POINT,
        Behind::Target => 0,
    };
    let mut handle: RawHandle = ptr::null_mut();
    let mut block = IO_STATUS_BLOCK::default();
    // SAFETY: all that is pointed to outlives the call, which writes a handle and a status.
    #[allow(unsafe_code)]
    let status = unsafe {
        NtCreateFile(
            &raw mut handle,
            opening.access | SYNCHRONIZE,
            &raw const attributes,
            &raw mut block,
            ptr::null(),
            0x80, // FILE_ATTRIBUTE_NORMAL
            SHARE_ALL,
            opening.disposition,
            opening.options | FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_FOR_BACKUP_INTENT | reparse,
            ptr::null(),
            0,
        )
    };
    if status == STATUS_DELETE_PENDING && opening.disposition != FILE_OPEN {
        // Whoever makes something cannot be told that it is not there.
        return Err(error_with(ERROR_DELETE_PENDING));
    }
    check(status)?;
    // SAFETY: the call has made it, and nobody else has it.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Opens something that is there.
pub(super) const fn opening(access: u32, behind: Behind) -> Opening {
    Opening {
        access,
        disposition: FILE_OPEN,
        options: 0,
        behind,
    }
}

/// The same, which has to be a folder.
pub(super) const fn opening_dir(access: u32, behind: Behind) -> Opening {
    Opening {
        options: FILE_DIRECTORY_FILE,
        ..opening(access, behind)
    }
}

/// What the system is asked by.
type Ask =
    unsafe extern "system" fn(RawHandle, *mut IO_STATUS_BLOCK, *mut c_void, u32, i32) -> NTSTATUS;

/// What the system knows of an open file or folder. `T` is the structure of the class, of which the
/// system may have more to say than it has room for.
pub(super) fn query<T: Copy + Default>(handle: RawHandle, class: i32) -> io::Result<T> {
    query_by(NtQueryInformationFile, handle, class)
}

/// The same of the volume that it lies on.
pub(super) fn query_volume<T: Copy + Default>(handle: RawHandle, class: i32) -> io::Result<T> {
    query_by(NtQueryVolumeInformationFile, handle, class)
}

fn query_by<T: Copy + Default>(ask: Ask, handle: RawHandle, class: i32) -> io::Result<T> {
    let mut found = T::default();
    let mut block = IO_STATUS_BLOCK::default();
    let bytes = u32::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: the system writes no more than `bytes`, which is how large `found` is.
    #[allow(unsafe_code)]
    let status = unsafe {
        ask(
            handle,
            &raw mut block,
            (&raw mut found).cast(),
            bytes,
            class,
        )
    };
    match status {
        STATUS_BUFFER_OVERFLOW => Ok(found),
        status => check(status).map(|()| found),
    }
}

/// Changes something about an open file or folder, by `bytes` of `value`.
pub(super) fn set<T>(handle: RawHandle, value: &T, bytes: usize, class: i32) -> NTSTATUS {
    let mut block = IO_STATUS_BLOCK::default();
    let bytes = u32::try_from(bytes.min(size_of::<T>())).unwrap_or_default();
    // SAFETY: the system reads no more than `bytes`, which is no more than `value` has.
    #[allow(unsafe_code)]
    unsafe {
        NtSetInformationFile(
            handle,
            &raw mut block,
            ptr::from_ref(value).cast(),
            bytes,
            class,
        )
    }
}

/// The same, where nothing is to be done about a failure but to tell of it.
pub(super) fn set_all<T>(handle: RawHandle, value: &T, class: i32) -> io::Result<()> {
    check(set(handle, value, size_of::<T>(), class))
}

/// Has a file system do one of its own operations. Gives how many bytes it has written to `output`.
pub(super) fn control(
    handle: RawHandle,
    code: u32,
    input: &[u8],
    output: &mut [u8],
) -> io::Result<usize> {
    let mut block = IO_STATUS_BLOCK::default();
    let sizes = [input.len(), output.len()].map(|len| u32::try_from(len).unwrap_or(u32::MAX));
    // SAFETY: the handle is synchronous, so that the call returns when it is done with both
    // buffers, whose lengths it is told.
    #[allow(unsafe_code)]
    let status = unsafe {
        NtFsControlFile(
            handle,
            ptr::null_mut(),
            None,
            ptr::null(),
            &raw mut block,
            code,
            input.as_ptr().cast::<c_void>(),
            sizes[0],
            output.as_mut_ptr().cast::<c_void>(),
            sizes[1],
        )
    };
    match status {
        // There is more than there was room for.
        STATUS_BUFFER_OVERFLOW => Ok(output.len()),
        status => check(status).map(|()| block.Information.min(output.len())),
    }
}
