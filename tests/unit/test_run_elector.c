/* The real elector thread, through the post office: this program is its one shard and main. The
 * journal is a real one in a temporary folder, with deliberate faults (design.md §4.13, §5). */
#include "io/clock.h"
#include "run/elector.h"
#include "run/mail.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* after what it needs */
#include <cmocka.h>

#define PATIENCE 5000 /* ms */
#define SHARD    0
#define MAIN     2

struct bench {
    struct process process;
    struct tunables tunables;
    struct journal *journal;
    struct elector *elector;
    char folder[64], conf[96];
    /* Letters that came while the test waited for others. */
    struct letter kept[256];
    unsigned kept_count;
    uint32_t gid;
};

static struct runid id_of(char c)
{
    struct runid id = {{0}};
    memset(id.hex, c, LIMIT_RUNID);
    return id;
}

static bool no_line(void *ctx, const char *text, size_t len, bool maxima, char *why, size_t size)
{
    return true;
}

static void open_journal(struct bench *b)
{
    static struct journal_report report;
    static const char text[] = "port 26379\n";
    FILE *file = fopen(b->conf, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, sizeof text - 1, file), sizeof text - 1);
    fclose(file);
    struct journal_options options = {.conf_path = b->conf};
    assert_true(journal_checksum_file(b->conf, &options.loaded));
    b->journal = journal_open(&options, &report);
    assert_non_null(b->journal);
    assert_true(journal_replay(b->journal, no_line, NULL, &report));
    assert_true(journal_begin(b->journal, text, sizeof text - 1, text, sizeof text - 1, &report));
}

/* Everything but the thread; faults may be set between. */
static struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    snprintf(b->folder, sizeof b->folder, "/tmp/vedette-elector-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->conf, sizeof b->conf, "%s/s.conf", b->folder);
    memset(journal_faults, 0, sizeof journal_faults);
    open_journal(b);
    struct process *p = &b->process;
    p->options.shards = 1;
    p->myid = id_of('a');
    p->post = post_new(3);
    p->directory = directory_new(1);
    b->gid = directory_add(p->directory, "m1");
    periods_default(&b->tunables.periods);
    b->elector = elector_new(p, b->journal, &b->tunables, 0, false);
    return b;
}

static void send_to(struct bench *b, unsigned from, struct letter letter)
{
    letter_send(&b->process, from, process_elector(&b->process), &letter, POST_MUST);
    post_flush(b->process.post, from);
}

static void ballot(struct bench *b, struct ballot ballot)
{
    struct letter letter = {.kind = LETTER_BALLOT, .gid = b->gid};
    ballot.gid = b->gid;
    letter.u.ballot = ballot;
    send_to(b, SHARD, letter);
}

static void begin(struct bench *b)
{
    char error[200];
    assert_true(elector_start(b->elector, error, sizeof error));
    struct ballot add = {.kind = BALLOT_ADD};
    add.u.terms.quorum = 2;
    add.u.terms.failover_timeout = 60000;
    ballot(b, add);
    ballot(b, (struct ballot){.kind = BALLOT_MEMBER_ADD, .runid = id_of('b')});
    ballot(b, (struct ballot){.kind = BALLOT_MEMBER_ADD, .runid = id_of('c')});
}

static void bench_free(struct bench *b)
{
    char command[128];
    send_to(b, MAIN, (struct letter){.kind = LETTER_STOP});
    elector_join(b->elector);
    elector_free(b->elector);
    letters_drop(&b->process);
    for (unsigned i = 0; i < b->kept_count; i++) {
        if (b->kept[i].kind == LETTER_LINES) {
            free(b->kept[i].u.lines.text);
        } else if (b->kept[i].kind == LETTER_NOTE) {
            note_release(b->kept[i].u.note);
        }
    }
    post_free(b->process.post);
    directory_free(b->process.directory);
    journal_close(b->journal);
    memset(journal_faults, 0, sizeof journal_faults);
    snprintf(command, sizeof command, "rm -rf %s", b->folder);
    assert_int_equal(system(command), 0);
    free(b);
}

static bool take_kept(struct bench *b, unsigned kind, struct letter *out)
{
    for (unsigned i = 0; i < b->kept_count; i++) {
        if (b->kept[i].kind == kind) {
            *out = b->kept[i];
            b->kept_count--;
            memmove(&b->kept[i], &b->kept[i + 1], (b->kept_count - i) * sizeof *out);
            return true;
        }
    }
    return false;
}

static void collect(struct bench *b)
{
    static const unsigned both[] = {SHARD, MAIN};
    struct mail mail;
    for (unsigned i = 0; i < 2; i++) {
        while (post_receive(b->process.post, both[i], &mail)) {
            assert_true(b->kept_count < sizeof b->kept / sizeof b->kept[0]);
            letter_open(&mail, &b->kept[b->kept_count++]);
        }
    }
}

/* Waits until the elector has sent one of this kind. */
static struct letter expect(struct bench *b, unsigned kind)
{
    struct letter found = {0};
    ms_t until = clock_now() + PATIENCE;
    while (clock_now() < until) {
        collect(b);
        if (take_kept(b, kind, &found)) {
            return found;
        }
        (void)poll(NULL, 0, 1);
    }
    fail_msg("no letter of kind %u came", kind);
    return found;
}

static struct vote_reply ask(struct bench *b, char candidate, uint64_t epoch)
{
    ballot(b, (struct ballot){.kind = BALLOT_REQUEST, .epoch = epoch, .runid = id_of(candidate)});
    return expect(b, LETTER_VOTE).u.vote;
}

/* Whether a journal file of the folder has this text. */
static bool journal_has(struct bench *b, const char *text)
{
    char command[256];
    snprintf(command, sizeof command, "grep -qF '%s' %s/*.journal.[0-9]*", text, b->folder);
    return system(command) == 0;
}

static void drop_lines(struct letter letter)
{
    assert_int_equal(letter.kind, LETTER_LINES);
    free(letter.u.lines.text);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_vote_is_in_the_journal_before_it_is_told(void **ctx)
{
    struct bench *b = bench_new();
    begin(b);
    struct vote_reply vote = ask(b, 'b', 7);
    struct runid candidate = id_of('b');
    assert_true(runid_equal(&vote.leader, &candidate));
    assert_int_equal(vote.epoch, 7);
    assert_true(journal_has(b, "sentinel leader-epoch m1 7 bbbb"));
    assert_int_equal(atomic_load(&b->process.current_epoch), 7);
    bench_free(b);
}

static void a_full_disk_gives_no_vote_until_there_is_room(void **ctx)
{
    struct bench *b = bench_new();
    journal_faults[CALL_WRITE] = (struct journal_fault){.times = 2, .error = ENOSPC};
    begin(b);
    ms_t before = clock_now();
    struct vote_reply vote = ask(b, 'b', 7);
    assert_true(clock_now() - before < 400); /* at once, not after the disk's recovery */
    assert_false(runid_known(&vote.leader));
    assert_int_equal(vote.epoch, 0);
    assert_true(atomic_load(&b->process.journal_refused));
    /* Our hellos must not carry an epoch that a crash would take back. */
    assert_int_equal(atomic_load(&b->process.current_epoch), 0);

    /* The grant stays recorded, for nobody else, and is what the repeated request gets once there
     * is room. */
    ms_t until = clock_now() + PATIENCE;
    while (atomic_load(&b->process.journal_refused) && clock_now() < until) {
        (void)poll(NULL, 0, 10);
    }
    vote = ask(b, 'c', 7);
    struct runid candidate = id_of('b');
    assert_true(runid_equal(&vote.leader, &candidate));
    vote = ask(b, 'b', 7);
    assert_true(runid_equal(&vote.leader, &candidate));
    assert_int_equal(vote.epoch, 7);
    assert_int_equal(atomic_load(&b->process.current_epoch), 7);
    assert_true(journal_has(b, "sentinel leader-epoch m1 7 bbbb"));
    bench_free(b);
}

static void an_attempt_on_a_full_disk_is_lost_at_once(void **ctx)
{
    struct bench *b = bench_new();
    journal_faults[CALL_WRITE] = (struct journal_fault){.times = 1000, .error = ENOSPC};
    begin(b);
    struct ballot want = {.kind = BALLOT_WANT};
    want.u.want.forced = true;
    ballot(b, want);
    struct letter outcome = expect(b, LETTER_OUTCOME);
    assert_int_equal(outcome.u.outcome.kind, OUTCOME_LOST);
    assert_int_equal(outcome.u.outcome.reason, LOST_JOURNAL);
    bench_free(b);
}

static void a_failed_sync_asks_for_a_snapshot_and_recovers_with_it(void **ctx)
{
    struct bench *b = bench_new();
    struct elector_counters waiting, later;
    journal_faults[CALL_FSYNC] = (struct journal_fault){.times = 1, .error = EIO};
    begin(b);
    struct vote_reply vote = ask(b, 'b', 7);
    assert_false(runid_known(&vote.leader));
    (void)expect(b, LETTER_RECOVER);
    /* Main's model needs the lines of that batch in its snapshot: they came before. */
    struct letter lines = {0};
    assert_true(take_kept(b, LETTER_LINES, &lines));
    assert_non_null(memmem(lines.u.lines.text, lines.u.lines.len, "leader-epoch m1 7 ", 18));
    drop_lines(lines);

    /* While main is busy the elector sleeps; it asks once. */
    (void)poll(NULL, 0, 1100);
    elector_counters(b->elector, &waiting);
    (void)poll(NULL, 0, 500);
    elector_counters(b->elector, &later);
    assert_true(later.passes - waiting.passes < 5);
    collect(b);
    struct letter none;
    assert_false(take_kept(b, LETTER_RECOVER, &none));

    struct letter snapshot = {.kind = LETTER_SNAPSHOT};
    snapshot.u.lines.text = strdup("sentinel monitor m1 127.0.0.1 6379 2\n");
    snapshot.u.lines.len = strlen(snapshot.u.lines.text);
    send_to(b, MAIN, snapshot);
    assert_true(expect(b, LETTER_RESTARTED).u.fold.ok);
    assert_false(atomic_load(&b->process.journal_refused));
    vote = ask(b, 'b', 7);
    struct runid candidate = id_of('b');
    assert_true(runid_equal(&vote.leader, &candidate));
    assert_true(journal_has(b, "sentinel leader-epoch m1 7 bbbb"));
    bench_free(b);
}

static void a_snapshot_that_fails_is_asked_for_again(void **ctx)
{
    struct bench *b = bench_new();
    journal_faults[CALL_FSYNC] = (struct journal_fault){.times = 1, .error = EIO};
    journal_faults[CALL_OPEN] = (struct journal_fault){.times = 1, .error = ENOSPC};
    begin(b);
    (void)ask(b, 'b', 7);
    for (unsigned tries = 0; tries < 2; tries++) {
        (void)expect(b, LETTER_RECOVER);
        struct letter snapshot = {.kind = LETTER_SNAPSHOT};
        snapshot.u.lines.text = strdup("sentinel monitor m1 127.0.0.1 6379 2\n");
        snapshot.u.lines.len = strlen(snapshot.u.lines.text);
        send_to(b, MAIN, snapshot);
        assert_int_equal(expect(b, LETTER_RESTARTED).u.fold.ok, tries == 1);
    }
    assert_false(atomic_load(&b->process.journal_refused));
    bench_free(b);
}

static void names_of_all_bytes_and_sizes_are_journalled(void **ctx)
{
    char name[LIMIT_NAME + 1];
    struct bench *b = bench_new();
    for (size_t i = 0; i < LIMIT_NAME; i++) {
        name[i] = (char)(i % 255 + 1);
    }
    name[LIMIT_NAME] = '\0';
    b->gid = directory_add(b->process.directory, name);
    begin(b);
    struct vote_reply vote = ask(b, 'b', LIMIT_EPOCH_JUMP - 1);
    assert_int_equal(vote.epoch, LIMIT_EPOCH_JUMP - 1);
    struct letter letter = {.kind = LETTER_RECORD, .gid = b->gid};
    letter.u.record = (struct record){
        .kind = RECORD_SENTINEL,
        .gid = b->gid,
        .runid = id_of('b'),
        .addr = {.ip = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", .port = 65535}};
    send_to(b, SHARD, letter);
    vote = ask(b, 'c', LIMIT_EPOCH); /* beyond the jump: refused, not taken over */
    assert_int_equal(vote.epoch, LIMIT_EPOCH_JUMP - 1);
    assert_int_equal(atomic_load(&b->process.current_epoch), LIMIT_EPOCH_JUMP - 1);
    bench_free(b);
}

static unsigned dropped;

static void count_dropped(struct request *request)
{
    dropped++;
    free(request);
}

static void never(struct request *request, void *here)
{
    fail_msg("nobody runs this step");
}

static void mail_under_way_at_the_stop_is_freed(void **ctx)
{
    struct bench *b = bench_new();
    begin(b);
    dropped = 0;
    /* More than a lane holds, to a shard that reads no more. */
    for (unsigned i = 0; i < LIMIT_LANE + 500; i++) {
        struct request *request = calloc(1, sizeof *request);
        assert_non_null(request);
        *request = (struct request){.step = never, .drop = count_dropped};
        request_send(&b->process, MAIN, SHARD, request);
    }
    note_send(&b->process, SHARD, false, EVENT_COUNT, EVENT_NOTICE, "text", 4);
    bench_free(b);
    assert_int_equal(dropped, LIMIT_LANE + 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vote_is_in_the_journal_before_it_is_told),
        cmocka_unit_test(a_full_disk_gives_no_vote_until_there_is_room),
        cmocka_unit_test(an_attempt_on_a_full_disk_is_lost_at_once),
        cmocka_unit_test(a_failed_sync_asks_for_a_snapshot_and_recovers_with_it),
        cmocka_unit_test(a_snapshot_that_fails_is_asked_for_again),
        cmocka_unit_test(names_of_all_bytes_and_sizes_are_journalled),
        cmocka_unit_test(mail_under_way_at_the_stop_is_freed),
    };
    return cmocka_run_group_tests_name("run_elector", tests, NULL, NULL);
}
