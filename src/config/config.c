#include "config/internal.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define INCLUDE_DEPTH  16
#define LEADER_COMMENT "# vedette: leader "

/* A "sentinel …" line waits until all lines are read: their order does not matter. */
struct waiting {
    struct words words;
    char *file, *text;
    unsigned line;
    enum phase phase;
    bool included;
};

struct loader {
    struct load load;
    struct waiting *waiting;
    size_t count, cap;
    bool included; /* some came from an included file */
};

static bool load_file(struct loader *l, const char *path);

/* --- errors and notes
 * ------------------------------------------------------------------------------ */

size_t config_error_format(const struct config_error *err, const char *version, char *out,
                           size_t size)
{
    int len = 0;
    switch (err->kind) {
    case CONFIG_ERROR_LINE:
        len = snprintf(out, size,
                       "\n*** FATAL CONFIG FILE ERROR (Redis %s) ***\n"
                       "Reading the configuration file%s%s, at line %u\n>>> '%s'\n%s\n",
                       version, err->included ? " " : "", err->included ? err->file : "", err->line,
                       err->text, err->reason);
        break;
    case CONFIG_ERROR_FATAL:
        len = snprintf(out, size, "\n*** FATAL CONFIG FILE ERROR (Redis %s) ***\n%s\n", version,
                       err->reason);
        break;
    case CONFIG_ERROR_OPEN:
        len = snprintf(out, size, "Fatal error, can't open config file '%s': %s\n", err->file,
                       err->reason);
        break;
    }
    assert(len >= 0 && size > 0);
    return (size_t)len < size ? (size_t)len : size - 1;
}

static void set_text(char *out, size_t size, const char *text, size_t len)
{
    size_t n = len < size ? len : size - 1;
    memcpy(out, text, n);
    out[n] = '\0';
}

void config_note(struct config *cfg, const char *format, ...)
{
    struct config_text text = {0};
    va_list args;
    char line[4096];

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    config_text_add(&text, line);
    size_t cap = cfg->note_count;
    cfg->notes = config_grow(cfg->notes, &cap, cfg->note_count + 1, sizeof(*cfg->notes));
    cfg->notes[cfg->note_count++] = text.data;
}

/* --- the layout
 * ---------------------------------------------------------------------------------------- */

void layout_override(struct config *cfg, const char *name, const char *text, bool many)
{
    struct config_layout *layout = cfg->layout;
    for (size_t i = 0; i < layout->override_count && !many; i++) {
        if (strcmp(layout->overrides[i].name, name) == 0) {
            free(layout->overrides[i].text);
            layout->overrides[i].text = config_copy(text, strlen(text));
            return;
        }
    }
    layout->overrides = config_grow(layout->overrides, &layout->override_cap,
                                    layout->override_count + 1, sizeof(*layout->overrides));
    layout->overrides[layout->override_count++] = (struct override){
        .name = config_copy(name, strlen(name)),
        .text = config_copy(text, strlen(text)),
        .many = many,
    };
}

chars_t layout_keep(struct config_layout *layout, const char *text, size_t len)
{
    size_t at = layout->chars.len;
    assert(at + len < UINT32_MAX); /* LIMIT_CONFIG_FILE, and what is derived from it */
    config_text_append(&layout->chars, text, len);
    config_text_append(&layout->chars, "", 1);
    return (chars_t)at;
}

chars_t layout_keep_name(struct config_layout *layout, const char *name)
{
    if (strcmp(layout_chars(layout, layout->last_name), name) != 0) {
        layout->last_name = layout_keep(layout, name, strlen(name));
    }
    return layout->last_name;
}

const char *layout_chars(const struct config_layout *layout, chars_t at)
{
    assert(at < layout->chars.len);
    return layout->chars.data + at;
}

static struct line *layout_add(struct config_layout *layout, const char *text, size_t len)
{
    layout->lines =
        config_grow(layout->lines, &layout->cap, layout->count + 1, sizeof(*layout->lines));
    struct line *line = &layout->lines[layout->count++];
    *line = (struct line){.text = layout_keep(layout, text, len)};
    return line;
}

static void layout_free(struct config_layout *layout)
{
    for (size_t i = 0; i < layout->override_count; i++) {
        free(layout->overrides[i].name);
        free(layout->overrides[i].text);
    }
    free(layout->lines);
    free(layout->chars.data);
    free(layout->overrides);
    free(layout);
}

/* --- lines
 * ------------------------------------------------------------------------------------------------
 */

/* A line as it is being read. */
struct reading {
    const char *file;
    unsigned number;
    const char *text; /* trimmed */
    size_t len;
    struct line *line; /* of the layout; NULL: included or from the command line */
};

static void blame(struct loader *l, const struct reading *r)
{
    struct config_error *err = l->load.err;
    err->kind = CONFIG_ERROR_LINE;
    err->line = r->number;
    err->included = l->load.depth > 0;
    set_text(err->file, sizeof(err->file), r->file, strlen(r->file));
    set_text(err->text, sizeof(err->text), r->text, r->len);
}

static void wait_for_phase(struct loader *l, const struct reading *r, struct words *w,
                           enum phase phase)
{
    l->waiting = config_grow(l->waiting, &l->cap, l->count + 1, sizeof(*l->waiting));
    l->waiting[l->count++] = (struct waiting){
        .words = *w,
        .file = config_copy(r->file, strlen(r->file)),
        .text = config_copy(r->text, r->len),
        .line = r->number,
        .phase = phase,
        .included = l->load.depth > 0,
    };
    l->included = l->included || l->load.depth > 0;
    *w = (struct words){0};
}

/* "# vedette: leader <name> <epoch> <runid>": the fourth word of leader-epoch, which stock lacks.
 */
static bool read_leader_comment(struct loader *l, const struct reading *r)
{
    size_t prefix = sizeof(LEADER_COMMENT) - 1;
    struct words w;

    if (r->len <= prefix || memcmp(r->text, LEADER_COMMENT, prefix) != 0) {
        return false;
    }
    if (!words_split(&w, r->text + prefix, r->len - prefix)) {
        return false;
    }
    if (w.count != 3) {
        words_free(&w);
        return false;
    }
    if (r->line != NULL) {
        r->line->kind = LINE_GROUP;
        r->line->option = OPTION_LEADER;
        r->line->name = layout_keep_name(l->load.cfg->layout, w.item[0]);
    }
    wait_for_phase(l, r, &w, PHASE_COUNT);
    return true;
}

static void read_comment(struct loader *l, const struct reading *r)
{
    static const char signature[] = "# Generated by CONFIG REWRITE";
    if (!read_leader_comment(l, r) && r->line != NULL && r->len == sizeof(signature) - 1 &&
        memcmp(r->text, signature, r->len) == 0) {
        r->line->kind = LINE_SIGNATURE;
    }
}

static bool read_include(struct loader *l, const struct words *w)
{
    glob_t found;
    bool ok = true;

    if (w->count != 2) {
        return fail(l->load.err, "Bad directive or wrong number of arguments");
    }
    if (l->load.inert) {
        return true;
    }
    if (l->load.depth >= INCLUDE_DEPTH) {
        return fail(l->load.err, "Too many nested include directives");
    }
    bool pattern = strpbrk(w->item[1], "*?[{") != NULL;
    if (!pattern || glob(w->item[1], 0, NULL, &found) != 0) {
        return pattern || load_file(l, w->item[1]);
    }
    for (size_t i = 0; i < found.gl_pathc && ok; i++) {
        ok = load_file(l, found.gl_pathv[i]);
    }
    globfree(&found);
    return ok;
}

static void lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

static bool read_sentinel(struct loader *l, const struct reading *r, struct words *w)
{
    enum phase phase;
    if (w->count == 1) {
        return true;
    }
    if (!sentinel_phase(w, &phase, l->load.err)) {
        return false;
    }
    if (r->line != NULL) {
        sentinel_classify(l->load.cfg->layout, w, r->line);
    }
    wait_for_phase(l, r, w, phase);
    return true;
}

static bool read_directive(struct loader *l, const struct reading *r, struct words *w)
{
    lower(w->item[0]);
    if (strcmp(w->item[0], "sentinel") == 0) {
        return read_sentinel(l, r, w);
    }
    if (strcmp(w->item[0], "include") == 0) {
        return read_include(l, w);
    }
    if (r->line != NULL) {
        r->line->kind = LINE_SERVER;
        r->line->name = layout_keep_name(l->load.cfg->layout, w->item[0]);
        if (strcmp(w->item[0], "user") == 0 && w->count > 1) {
            r->line->extra = layout_keep(l->load.cfg->layout, w->item[1], strlen(w->item[1]));
        }
    }
    if (!directive_apply(&l->load, w)) {
        return false;
    }
    if (l->load.override) {
        struct config_text text = {0};
        for (size_t i = 0; i < w->count; i++) {
            config_text_add(&text, i > 0 ? " " : "");
            words_quote(&text, w->item[i]);
        }
        layout_override(l->load.cfg, w->item[0], text.data, directive_many(w->item[0]));
        free(text.data);
    }
    return true;
}

/* err->kind is OPEN or FATAL already where a file is to blame rather than the line. */
static bool read_line(struct loader *l, const struct reading *r)
{
    struct config_error *err = l->load.err;
    struct words w;
    bool ok;

    if (memchr(r->text, '\0', r->len) != NULL) {
        blame(l, r);
        return fail(err, "The line holds a zero byte");
    }
    if (r->len == 0 || r->text[0] == '#') {
        read_comment(l, r);
        return true;
    }
    blame(l, r);
    if (r->len >= LIMIT_LINE) {
        return fail(err, "The line is too long");
    }
    if (!words_split(&w, r->text, r->len) || w.count == 0) {
        return fail(err, "Unbalanced quotes in configuration line");
    }
    ok = read_directive(l, r, &w);
    words_free(&w);
    return ok;
}

static bool read_text(struct loader *l, const char *file, const char *text, size_t len,
                      unsigned *number)
{
    bool keep = l->load.depth == 0 && !l->load.override;
    const char *p = text, *end = text + len;

    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        const char *next = stop != NULL ? stop + 1 : end;
        size_t n = (size_t)((stop != NULL ? stop : end) - p);
        while (n > 0 && p[n - 1] == '\r') {
            n--;
        }
        struct line *line = keep ? layout_add(l->load.cfg->layout, p, n) : NULL;
        while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r')) {
            n--;
        }
        while (n > 0 && (*p == ' ' || *p == '\t' || *p == '\r')) {
            p++;
            n--;
        }
        (*number)++;
        struct reading r = {file, *number, p, n, line};
        if (!read_line(l, &r)) {
            return false;
        }
        p = next;
    }
    return true;
}

/* --- files
 * ------------------------------------------------------------------------------------------------
 */

char *config_slurp(const char *path, size_t limit, size_t *len)
{
    struct config_text text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;

    if (fd < 0) {
        return NULL;
    }
    config_text_append(&text, "", 0);
    do {
        text.data = config_grow(text.data, &text.cap, text.len + 65536, 1);
        got = read(fd, text.data + text.len, 65536 - 1);
        text.len += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && text.len <= limit) || (got < 0 && errno == EINTR));
    int error = got < 0 ? errno : text.len > limit ? EFBIG : 0;
    close(fd);
    if (error != 0) {
        free(text.data);
        errno = error;
        return NULL;
    }
    text.data[text.len] = '\0';
    *len = text.len;
    return text.data;
}

static void blame_file(struct config_error *err, const char *path)
{
    err->kind = CONFIG_ERROR_OPEN;
    set_text(err->file, sizeof(err->file), path, strlen(path));
    fail(err, "%s", strerror(errno));
}

static bool load_file(struct loader *l, const char *path)
{
    unsigned number = 0;
    size_t len;
    char *text = config_slurp(path, LIMIT_CONFIG_FILE, &len);

    if (text == NULL) {
        blame_file(l->load.err, path);
        return false;
    }
    l->load.depth++;
    bool ok = read_text(l, path, text, len, &number);
    l->load.depth--;
    free(text);
    return ok;
}

/* --- the command line
 * ------------------------------------------------------------------------------------- */

/* The overrides as lines of a file: every "--word" begins one. */
static void override_text(int argc, char **argv, struct config_text *out)
{
    for (int i = 0; i < argc; i++) {
        bool next = strncmp(argv[i], "--", 2) == 0;
        bool alone = i + 1 >= argc || strncmp(argv[i + 1], "--", 2) == 0;
        if (strcmp(argv[i], "--sentinel") == 0 && alone) {
            continue;
        }
        if (next || out->len == 0) {
            config_text_printf(out, "%s%s", out->len > 0 ? "\n" : "", argv[i] + (next ? 2 : 0));
        } else {
            config_text_append(out, " ", 1);
            words_quote_always(out, argv[i]);
        }
    }
}

static bool read_overrides(struct loader *l, int argc, char **argv, unsigned number)
{
    struct config_text text = {0};
    bool ok = true;

    override_text(argc, argv, &text);
    if (text.len > 0) {
        l->load.override = true;
        number++; /* stock puts an empty line between */
        ok = read_text(l, "the command line", text.data, text.len, &number);
        l->load.override = false;
    }
    free(text.data);
    return ok;
}

/* --- putting it together
 * ----------------------------------------------------------------------------------- */

static void apply_leader(struct config *cfg, const struct words *w)
{
    struct config_group *group = config_find(cfg, w->item[0], strlen(w->item[0]));
    struct runid leader;
    uint64_t epoch;

    if (group != NULL && words_epoch(w->item[1], &epoch) && group->has_leader_epoch &&
        group->leader_epoch == epoch && runid_parse(&leader, w->item[2], strlen(w->item[2]))) {
        group->leader = leader;
    }
}

static bool apply_waiting(struct loader *l, enum phase phase, bool included)
{
    struct config_error *err = l->load.err;
    for (size_t i = 0; i < l->count; i++) {
        const struct waiting *w = &l->waiting[i];
        if (w->phase != phase || w->included != included) {
            continue;
        }
        err->kind = CONFIG_ERROR_LINE;
        err->line = w->line;
        err->included = w->included;
        set_text(err->file, sizeof(err->file), w->file, strlen(w->file));
        set_text(err->text, sizeof(err->text), w->text, strlen(w->text));
        enum apply_mode mode = l->included ? APPLY_AGAIN : APPLY_LOAD;
        if (!sentinel_apply(l->load.cfg, &w->words, mode, err)) {
            return false;
        }
    }
    return true;
}

/* The file itself has the word over what it includes: a master's line there comes first, everything
 * else last. */
static bool apply_all(struct loader *l)
{
    for (enum phase phase = PHASE_GLOBAL; phase < PHASE_COUNT; phase++) {
        bool first = phase != PHASE_MONITOR;
        if (!apply_waiting(l, phase, first) || !apply_waiting(l, phase, !first)) {
            return false;
        }
    }
    for (size_t i = 0; i < l->count; i++) {
        if (l->waiting[i].phase == PHASE_COUNT) {
            apply_leader(l->load.cfg, &l->waiting[i].words);
        }
    }
    sentinel_raise(l->load.cfg);
    return true;
}

static struct config *config_new(const char *path)
{
    struct config *cfg = config_alloc(sizeof(*cfg));
    cfg->layout = config_alloc(sizeof(*cfg->layout));
    (void)layout_keep(cfg->layout, "", 0);
    cfg->path = path != NULL ? config_copy(path, strlen(path)) : NULL;
    cfg->deny_scripts_reconfig = true;
    directive_defaults(&cfg->server);
    return cfg;
}

struct config *config_load_text(const char *path, const char *text, size_t len, int argc,
                                char **overrides, bool inert, struct config_error *err)
{
    char cwd[PATH_MAX];
    unsigned number = 0;

    *err = (struct config_error){0};
    struct loader l = {.load = {.cfg = config_new(path), .err = err, .inert = inert}};
    struct config *cfg = l.load.cfg;
    bool ok = read_text(&l, path != NULL ? path : "", text, len, &number) &&
              read_overrides(&l, argc, overrides, number) && apply_all(&l) &&
              directive_finish(&l.load);
    for (size_t i = 0; i < l.count; i++) {
        words_free(&l.waiting[i].words);
        free(l.waiting[i].file);
        free(l.waiting[i].text);
    }
    free(l.waiting);
    free(l.load.ignored.data);
    if (!ok) {
        config_free(cfg);
        return NULL;
    }
    if (getcwd(cwd, sizeof(cwd)) != NULL) {
        cfg->cwd = config_copy(cwd, strlen(cwd));
    }
    layout_settle(cfg);
    return cfg;
}

struct config *config_load(const char *path, int argc, char **overrides, struct config_error *err)
{
    char absolute[2 * PATH_MAX + 2], cwd[PATH_MAX];
    size_t len;

    *err = (struct config_error){0};
    bool relative = path[0] != '/' && getcwd(cwd, sizeof(cwd)) != NULL;
    snprintf(absolute, sizeof(absolute), "%s%s%.*s", relative ? cwd : "", relative ? "/" : "",
             PATH_MAX, path);
    char *text = config_slurp(absolute, LIMIT_CONFIG_FILE, &len);
    if (text == NULL) {
        blame_file(err, absolute);
        return NULL;
    }
    struct config *cfg = config_load_text(absolute, text, len, argc, overrides, false, err);
    free(text);
    return cfg;
}

void config_free(struct config *cfg)
{
    if (cfg == NULL) {
        return;
    }
    config_groups_free(cfg);
    users_free(cfg);
    layout_free(cfg->layout);
    directive_free(&cfg->server);
    for (size_t i = 0; i < cfg->note_count; i++) {
        free(cfg->notes[i]);
    }
    free(cfg->notes);
    free(cfg->path);
    free(cfg->cwd);
    free(cfg->announce_ip);
    free(cfg->sentinel_user);
    free(cfg->sentinel_pass);
    free(cfg);
}

/* --- looking for `dir` in a file that may be torn
 * ----------------------------------------------------------- */

static bool peek_text(const char *text, size_t len, char *out, size_t size)
{
    const char *p = text, *end = text + len;
    bool found = false;

    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop != NULL ? stop : end) - p);
        struct words w;
        if (words_split(&w, p, n)) {
            if (w.count == 2 && strcasecmp(w.item[0], "dir") == 0 && strlen(w.item[1]) < size) {
                memcpy(out, w.item[1], strlen(w.item[1]) + 1);
                found = true;
            }
            words_free(&w);
        }
        p = stop != NULL ? stop + 1 : end;
    }
    return found;
}

bool config_peek_dir(const char *path, int argc, char **overrides, char *out, size_t size)
{
    struct config_text more = {0};
    size_t len = 0;
    char *text = config_slurp(path, LIMIT_CONFIG_FILE, &len);
    bool found = text != NULL && peek_text(text, len, out, size);

    override_text(argc, overrides, &more);
    found = (more.len > 0 && peek_text(more.data, more.len, out, size)) || found;
    free(more.data);
    free(text);
    return found;
}

/* --- the journal's lines
 * ------------------------------------------------------------------------------------ */

static bool apply_journal(struct config *cfg, const char *text, size_t len, enum apply_mode mode,
                          struct config_error *err)
{
    enum config_loglevel level;
    struct words w;
    bool ok;

    *err = (struct config_error){0};
    set_text(err->text, sizeof(err->text), text, len);
    if (len >= LIMIT_LINE || !words_split(&w, text, len)) {
        return fail(err, "Unbalanced quotes or too long a line");
    }
    if (w.count == 0 || text[0] == '#') {
        ok = true;
    } else if (strcasecmp(w.item[0], "sentinel") == 0) {
        ok = sentinel_apply(cfg, &w, mode, err);
    } else if (strcasecmp(w.item[0], "loglevel") == 0 && w.count == 2 &&
               config_loglevel_parse(w.item[1], &level)) {
        if (mode == APPLY_REPLAY) {
            char line[32];
            cfg->server.loglevel = level;
            snprintf(line, sizeof(line), "loglevel %s", config_loglevel_name(level));
            layout_override(cfg, "loglevel", line, false);
        }
        ok = true;
    } else if (strcmp(w.item[0], "user") == 0 || strcmp(w.item[0], "forget-users") == 0) {
        ok = mode != APPLY_REPLAY || users_replay(cfg, &w, err);
    } else {
        ok = fail(err, "Not a line of a journal");
    }
    words_free(&w);
    return ok;
}

bool config_apply_line(struct config *cfg, const char *line, size_t len, struct config_error *err)
{
    return apply_journal(cfg, line, len, APPLY_REPLAY, err);
}

bool config_apply_maxima(struct config *cfg, const char *line, size_t len, struct config_error *err)
{
    return apply_journal(cfg, line, len, APPLY_MAXIMA, err);
}
