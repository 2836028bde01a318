/* Blocks of memory that end where a page begins that cannot be touched: to read or write past a block's end, or to touch
 * it when it has been freed, is a SIGSEGV. For LD_PRELOAD; sleeps until `fence(1)` is called. Made for glibc on Linux. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL
#define ARENA (32UL << 30) /* addresses, not memory; what is freed is not used again */

#define LIVE_MAX 20000 /* each takes two mappings, of which a process may have 65,530; without any left NumPy falls over */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static char *base, *next;
static uint32_t *sizes; /* of the block that begins in each page */
static volatile int is_on;
static long live;

void fence(int on)
{
    if (!base) {
        sizes = mmap(NULL, ARENA / PAGE * sizeof *sizes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        next = base = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    is_on = on && base != MAP_FAILED && sizes != MAP_FAILED;
}

static int is_fenced(const void *block) { return base && (char *)block >= base && (char *)block < base + ARENA; }

static char *first_page(const void *block) { return (char *)((uintptr_t)block & ~(PAGE - 1)); }

static uint32_t *size_of(const void *block) { return &sizes[(first_page(block) - base) / PAGE]; }

static void *fenced(size_t size)
{
    size_t aligned = (size + 7) & ~7UL, room = (aligned + PAGE - 1) & ~(PAGE - 1);
    if (!is_on || !size || size > UINT32_MAX / 2 || live >= LIVE_MAX)
        return NULL;
    char *start = __atomic_fetch_add(&next, room + PAGE, __ATOMIC_RELAXED);
    if (start + room + PAGE > base + ARENA || mprotect(start, room, PROT_READ | PROT_WRITE))
        return NULL; /* too many mappings, or the limit of memory: the C library's own malloc will tell */
    char *block = start + room - aligned;
    *size_of(block) = size;
    __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
    return block;
}

void free(void *block)
{
    if (!is_fenced(block)) {
        __libc_free(block);
        return;
    }
    int before = errno;
    __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
    size_t room = (((size_t)*size_of(block) + 7) & ~7UL) + PAGE - 1;
    mmap(first_page(block), room & ~(PAGE - 1), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    errno = before;
}

void *malloc(size_t size)
{
    void *block = is_on ? fenced(size) : NULL;
    return block ? block : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    void *block = is_on && count && size <= SIZE_MAX / count ? fenced(count * size) : NULL;
    return block ? block : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    if (!is_fenced(block))
        return block ? __libc_realloc(block, size) : malloc(size);
    if (!size) {
        free(block);
        return NULL;
    }
    size_t before = *size_of(block);
    void *new = malloc(size);
    if (new) {
        memcpy(new, block, before < size ? before : size);
        free(block);
    }
    return new;
}

void *memalign(size_t alignment, size_t size) { return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return __libc_memalign(alignment, size); }

int posix_memalign(void **block, size_t alignment, size_t size)
{
    *block = __libc_memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}


