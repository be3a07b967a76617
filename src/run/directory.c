#include "run/directory.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK         1024               /* entries allocated at once */
#define SLOTS_FIRST   256                /* of a table: powers of two */
#define NAME_SLOTS    (2 * LIMIT_GROUPS) /* at most */
#define ADDRESS_SLOTS (4 * LIMIT_GROUPS) /* at most; full: look-ups by address walk the entries */
#define VIEW_WORDS    ((sizeof(struct group_view) + 7) / 8)

_Static_assert((SLOTS_FIRST & (SLOTS_FIRST - 1)) == 0 && (NAME_SLOTS & (NAME_SLOTS - 1)) == 0 &&
                   (ADDRESS_SLOTS & (ADDRESS_SLOTS - 1)) == 0,
               "masks work");
_Static_assert(offsetof(struct group_view, current) % 8 == 0 && sizeof(struct address) % 8 == 0,
               "an address is whole words of the view");
_Static_assert(LIMIT_NAME <= UINT8_MAX, "entry.name_len holds it");

struct entry {
    _Atomic uint32_t sequence; /* odd while the owner writes */
    atomic_bool alive;
    uint8_t name_len;
    unsigned owner;
    char *name;
    /* The view, as words, because a reader may copy it while it is written: it then sees that the
     * sequence moved and copies again. */
    _Atomic uint64_t words[VIEW_WORDS];
};

/* From hashes to gids, by open addressing. It only fills; a larger one takes its place when it is
 * half full. Readers may still be in the older ones, which therefore stay: less than it has. */
struct table {
    struct table *older;
    uint32_t slots;
    uint32_t filled;         /* the writer's */
    _Atomic uint32_t slot[]; /* gid + 1, 0: free; never freed again */
};

struct directory {
    unsigned shards;
    _Atomic uint32_t count;
    _Atomic uint32_t alive;
    struct entry *_Atomic chunks[LIMIT_GROUPS / CHUNK];
    struct table *_Atomic names;
    struct table *_Atomic addresses; /* written under address_lock */
    pthread_mutex_t address_lock;
    atomic_bool addresses_full;
};

/* --- tables -------------------------------------------------------------------------------------
 */
static struct table *table_new(uint32_t slots, struct table *older)
{
    struct table *t = calloc(1, sizeof *t + slots * sizeof *t->slot);
    if (t != NULL) {
        t->slots = slots;
        t->older = older;
    }
    return t;
}

static void table_free(struct table *t)
{
    while (t != NULL) {
        struct table *older = t->older;
        free(t);
        t = older;
    }
}

static uint32_t table_at(const struct table *t, uint64_t place)
{
    return atomic_load_explicit(&t->slot[place & (t->slots - 1)], memory_order_acquire);
}

/* Makes gid reachable from the hash's place, once. Thread: the writer. */
static void table_put(struct table *t, uint64_t hash, uint32_t gid)
{
    uint64_t place = hash;
    uint32_t value;
    while ((value = table_at(t, place)) != 0) {
        if (value == gid + 1) {
            return;
        }
        place++;
    }
    assert(t->filled < t->slots - 1); /* a search ends at a free slot */
    t->filled++;
    atomic_store_explicit(&t->slot[place & (t->slots - 1)], gid + 1, memory_order_release);
}

typedef void (*table_fill)(const struct directory *d, struct table *t);

/* Room for two more. False: there is none. Thread: the writer. */
static bool table_room(const struct directory *d, struct table *_Atomic *at, uint32_t most,
                       table_fill fill)
{
    struct table *t = atomic_load_explicit(at, memory_order_relaxed);
    if (t->filled + 2 <= t->slots / 2) {
        return true;
    }
    struct table *larger = t->slots < most ? table_new(2 * t->slots, t) : NULL;
    if (larger == NULL) {
        return t->filled + 2 <= t->slots / 4 * 3;
    }
    fill(d, larger);
    atomic_store_explicit(at, larger, memory_order_release);
    return true;
}

/* --- names --------------------------------------------------------------------------------------
 */
static uint64_t hash_name(const char *name, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
    }
    return h ^ (h >> 29);
}

static unsigned owner_of(uint64_t hash, unsigned shards)
{
    return (unsigned)((hash >> 17) % shards);
}

unsigned directory_owner_of(const char *name, unsigned shards)
{
    return owner_of(hash_name(name, strlen(name)), shards);
}

struct directory *directory_new(unsigned shards)
{
    assert(shards > 0 && shards <= LIMIT_SHARDS);
    struct directory *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    d->shards = shards;
    d->names = table_new(SLOTS_FIRST, NULL);
    d->addresses = table_new(SLOTS_FIRST, NULL);
    if (d->names == NULL || d->addresses == NULL) {
        directory_free(d);
        return NULL;
    }
    pthread_mutex_init(&d->address_lock, NULL);
    return d;
}

void directory_free(struct directory *d)
{
    if (d == NULL) {
        return;
    }
    uint32_t count = atomic_load(&d->count);
    for (uint32_t i = 0; i < count; i++) {
        free(d->chunks[i / CHUNK][i % CHUNK].name);
    }
    for (uint32_t i = 0; i < LIMIT_GROUPS / CHUNK; i++) {
        free(d->chunks[i]);
    }
    table_free(d->names);
    table_free(d->addresses);
    free(d);
}

static struct entry *entry_at(const struct directory *d, uint32_t gid)
{
    assert(gid < atomic_load_explicit(&d->count, memory_order_acquire));
    struct entry *chunk = atomic_load_explicit(&d->chunks[gid / CHUNK], memory_order_relaxed);
    return &chunk[gid % CHUNK];
}

uint32_t directory_find(const struct directory *d, const char *name, size_t len)
{
    if (len == 0 || len > LIMIT_NAME) {
        return DIRECTORY_NONE;
    }
    const struct table *t = atomic_load_explicit(&d->names, memory_order_acquire);
    for (uint64_t h = hash_name(name, len);; h++) {
        uint32_t value = table_at(t, h);
        if (value == 0) {
            return DIRECTORY_NONE;
        }
        const struct entry *e = entry_at(d, value - 1);
        if (e->name_len == len && memcmp(e->name, name, len) == 0) {
            return value - 1;
        }
    }
}

static void fill_names(const struct directory *d, struct table *t)
{
    uint32_t count = atomic_load_explicit(&d->count, memory_order_relaxed);
    for (uint32_t gid = 0; gid < count; gid++) {
        const char *name = entry_at(d, gid)->name;
        table_put(t, hash_name(name, strlen(name)), gid);
    }
}

uint32_t directory_add(struct directory *d, const char *name)
{
    size_t len = strlen(name);
    assert(len > 0 && len <= LIMIT_NAME);
    uint32_t gid = directory_find(d, name, len);
    if (gid != DIRECTORY_NONE) {
        return gid;
    }
    gid = atomic_load_explicit(&d->count, memory_order_relaxed);
    if (gid == LIMIT_GROUPS || !table_room(d, &d->names, NAME_SLOTS, fill_names)) {
        return DIRECTORY_NONE;
    }
    if (d->chunks[gid / CHUNK] == NULL) {
        struct entry *chunk = calloc(CHUNK, sizeof *chunk);
        if (chunk == NULL) {
            return DIRECTORY_NONE;
        }
        atomic_store_explicit(&d->chunks[gid / CHUNK], chunk, memory_order_relaxed);
    }
    struct entry *e = &d->chunks[gid / CHUNK][gid % CHUNK];
    uint64_t h = hash_name(name, len);
    e->name = strdup(name);
    if (e->name == NULL) {
        return DIRECTORY_NONE;
    }
    e->name_len = (uint8_t)len;
    e->owner = owner_of(h, d->shards);
    /* The entry is whole before the count, and the count before the name, can be seen. */
    atomic_store_explicit(&d->count, gid + 1, memory_order_release);
    table_put(atomic_load_explicit(&d->names, memory_order_relaxed), h, gid);
    return gid;
}

uint32_t directory_count(const struct directory *d)
{
    return atomic_load_explicit(&d->count, memory_order_acquire);
}

const char *directory_name(const struct directory *d, uint32_t gid)
{
    return entry_at(d, gid)->name;
}

unsigned directory_owner(const struct directory *d, uint32_t gid)
{
    return entry_at(d, gid)->owner;
}

bool directory_alive(const struct directory *d, uint32_t gid)
{
    return atomic_load_explicit(&entry_at(d, gid)->alive, memory_order_acquire);
}

/* Copies words [first, first + count) of the view as they were at one moment. False: removed. */
static bool read_words(const struct entry *e, size_t first, size_t count, uint64_t *words)
{
    uint32_t before, after;

    /* First of all: whose publication is seen to be there, its words are, too. */
    if (!atomic_load_explicit(&e->alive, memory_order_acquire)) {
        return false;
    }
    do {
        before = atomic_load_explicit(&e->sequence, memory_order_acquire);
        for (size_t i = 0; i < count; i++) {
            words[i] = atomic_load_explicit(&e->words[first + i], memory_order_relaxed);
        }
        /* The words are read before the sequence is read again. */
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&e->sequence, memory_order_relaxed);
    } while ((before & 1) != 0 || before != after);
    return atomic_load_explicit(&e->alive, memory_order_acquire);
}

bool directory_read(const struct directory *d, uint32_t gid, struct group_view *view)
{
    uint64_t words[VIEW_WORDS];

    if (!read_words(entry_at(d, gid), 0, VIEW_WORDS, words)) {
        return false;
    }
    memcpy(view, words, sizeof *view);
    return true;
}

bool directory_current(const struct directory *d, uint32_t gid, struct address *current)
{
    uint64_t words[sizeof *current / 8];

    if (!read_words(entry_at(d, gid), offsetof(struct group_view, current) / 8,
                    sizeof words / sizeof words[0], words)) {
        return false;
    }
    memcpy(current, words, sizeof *current);
    return true;
}

/* --- addresses ----------------------------------------------------------------------------------
 */
static void put_addresses(struct table *t, uint32_t gid, const struct address *master)
{
    table_put(t, address_hash(master), gid);
    if (master->host != NULL) {
        table_put(t, address_hash_host(master), gid);
    }
}

/* Where the groups are now. Whoever publishes another address meanwhile, or a first one, waits for
 * the lock and puts it into this table. */
static void fill_addresses(const struct directory *d, struct table *t)
{
    struct group_view view;
    uint32_t count = directory_count(d);
    for (uint32_t gid = 0; gid < count; gid++) {
        if (directory_read(d, gid, &view)) {
            put_addresses(t, gid, &view.master);
        }
    }
}

/* Thread: an owner. */
static void address_insert(struct directory *d, uint32_t gid, const struct address *master)
{
    pthread_mutex_lock(&d->address_lock);
    if (table_room(d, &d->addresses, ADDRESS_SLOTS, fill_addresses)) {
        put_addresses(atomic_load_explicit(&d->addresses, memory_order_relaxed), gid, master);
    } else {
        atomic_store(&d->addresses_full, true);
    }
    pthread_mutex_unlock(&d->address_lock);
}

void directory_publish(struct directory *d, uint32_t gid, const struct group_view *view)
{
    struct entry *e = entry_at(d, gid);
    uint64_t words[VIEW_WORDS] = {0};
    struct group_view old;
    bool was_alive = directory_read(d, gid, &old);

    memcpy(words, view, sizeof *view);
    uint32_t sequence = atomic_load_explicit(&e->sequence, memory_order_relaxed);
    assert((sequence & 1) == 0);
    atomic_store_explicit(&e->sequence, sequence + 1, memory_order_relaxed);
    /* The odd sequence is seen before any new word. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < VIEW_WORDS; i++) {
        atomic_store_explicit(&e->words[i], words[i], memory_order_relaxed);
    }
    atomic_store_explicit(&e->sequence, sequence + 2, memory_order_release);
    /* Alive before the address is put in: who makes the table grow in between takes it along. */
    if (!was_alive) {
        atomic_store_explicit(&e->alive, true, memory_order_release);
        atomic_fetch_add_explicit(&d->alive, 1, memory_order_relaxed);
    }
    if (!was_alive || !address_same(&old.master, &view->master)) {
        address_insert(d, gid, &view->master);
    }
}

void directory_remove(struct directory *d, uint32_t gid)
{
    struct entry *e = entry_at(d, gid);
    if (atomic_exchange_explicit(&e->alive, false, memory_order_acq_rel)) {
        atomic_fetch_sub_explicit(&d->alive, 1, memory_order_relaxed);
    }
}

static bool is_at(const struct directory *d, uint32_t gid, const struct address *addr)
{
    struct group_view view;
    return directory_read(d, gid, &view) && address_equal(&view.master, addr);
}

/* From the place of a hash; of several the first monitored. */
static uint32_t find_from(const struct directory *d, uint64_t hash, const struct address *addr)
{
    uint32_t found = DIRECTORY_NONE;
    const struct table *t = atomic_load_explicit(&d->addresses, memory_order_acquire);

    for (uint64_t h = hash;; h++) {
        uint32_t value = table_at(t, h);
        if (value == 0) {
            break;
        }
        if (value - 1 < found && is_at(d, value - 1, addr)) {
            found = value - 1;
        }
    }
    return found;
}

uint32_t directory_find_address(const struct directory *d, const struct address *addr)
{
    uint32_t found = find_from(d, address_hash(addr), addr);
    if (addr->host != NULL) {
        uint32_t named = find_from(d, address_hash_host(addr), addr);
        found = named < found ? named : found;
    }
    if (found == DIRECTORY_NONE && atomic_load(&d->addresses_full)) {
        uint32_t count = directory_count(d);
        for (uint32_t gid = 0; gid < count && found == DIRECTORY_NONE; gid++) {
            if (is_at(d, gid, addr)) {
                found = gid;
            }
        }
    }
    return found;
}

uint32_t directory_alive_count(const struct directory *d)
{
    return atomic_load_explicit(&d->alive, memory_order_relaxed);
}
