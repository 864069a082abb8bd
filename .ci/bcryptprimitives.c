/* The library that Windows has since version 8, and Wine does not before version 9: programs made
 * by Rust's compiler do not start without it.
 *
 * Must not have more than they ask for: one function, which fills memory with random bytes.
 */

#include <windows.h>
#include <ntsecapi.h>

/* The most that RtlGenRandom is asked for at once, which counts in 32 bits. */
#define MOST 0x10000000u

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count)
{
    while (count > 0) {
        ULONG some = count > MOST ? MOST : (ULONG)count;

        if (!RtlGenRandom(bytes, some))
            return FALSE;
        bytes += some;
        count -= some;
    }
    return TRUE;
}
