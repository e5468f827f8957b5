/* tsan.h - tells ThreadSanitizer of an order between threads that a library keeps and it can't see.
 *
 * libzmq is not built with it: that a message's bytes were written before another thread gets them (a pipe's atomic
 * exchange), and are let go of by all before they are freed (a reference count), is hidden in code that it does not watch.
 * Where our code gives bytes away it says tsan_release of their address, where it gets them back in another thread
 * tsan_acquire: what stood before the one then happened before what comes after the other. All else stays watched, also
 * what the giver still does to the bytes afterwards. Without ThreadSanitizer both are nothing.
 */
#ifndef STRATA_CORE_TSAN_H
#define STRATA_CORE_TSAN_H

#if defined(__SANITIZE_THREAD__)
#define STRATA_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STRATA_TSAN 1
#endif
#endif

#ifdef STRATA_TSAN
#include <sanitizer/tsan_interface.h>
#define tsan_release(address) __tsan_release (address)
#define tsan_acquire(address) __tsan_acquire (address)
#else
#define tsan_release(address) ((void)(address))
#define tsan_acquire(address) ((void)(address))
#endif

#endif
