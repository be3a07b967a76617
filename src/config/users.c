/* Users in sentinel.conf (`user` lines, requirepass) and in an aclfile. What rules mean is
 * src/acl's. */
#include "config/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- building users from words -----------------------------------------------------------------
 */

/* A user as its words say (name first), not yet in a set. NULL: *why, which of the words in *wrong.
 */
static struct acl_user *build(char *const *word, size_t count, bool open_channels,
                              struct acl_text *wrong, const char **why)
{
    struct acl_user *user = acl_user_new(word[0], strlen(word[0]), open_channels);
    size_t *lens = config_alloc(count * sizeof(*lens)), at = 0;
    struct acl_rules rules;

    for (size_t i = 0; i < count; i++) {
        lens[i] = strlen(word[i]);
    }
    bool joined = acl_rules_join(&rules, (const char *const *)word + 1, lens + 1, count - 1, &at);
    *why = joined ? acl_rules_apply(user, &rules, &at) : "Unmatched parenthesis in selector";
    if (*why != NULL) {
        const char *text = joined ? rules.item[at].data : word[1 + at];
        acl_text_add(wrong, text, strlen(text));
        acl_user_release(user);
        user = NULL;
    }
    acl_rules_free(&rules);
    free(lens);
    return user;
}

static char *canonical(const struct acl_user *user)
{
    struct acl_text text = {0};
    acl_user_line(user, &text);
    return text.data;
}

/* --- `user` lines ------------------------------------------------------------------------------
 */

struct config_user *config_user_find(const struct config *cfg, const char *name)
{
    for (size_t i = 0; i < cfg->user_count; i++) {
        if (strcmp(cfg->user_lines[i].name, name) == 0) {
            return &cfg->user_lines[i];
        }
    }
    return NULL;
}

static void user_line_free(struct config_user *u)
{
    free(u->name);
    free(u->canon);
    words_free(&u->words);
}

static bool has_clear_password(const struct words *w)
{
    for (size_t i = 2; i < w->count; i++) {
        if (w->item[i][0] == '>') {
            return true;
        }
    }
    return false;
}

/* Whether the line is right can be said now; what it makes of the user, when acl-pubsub-default is
 * known. The file has the word over those it includes. */
bool users_line(struct load *load, const struct words *w)
{
    struct config *cfg = load->cfg;
    struct acl_text wrong = {0};
    const char *why;

    if (w->count < 2) {
        return fail(load->err, "Bad directive or wrong number of arguments");
    }
    if (!acl_name_valid(w->item[1], strlen(w->item[1]))) {
        return fail(load->err, "Spaces not allowed in ACL usernames");
    }
    struct acl_user *user = build(w->item + 1, w->count - 1, false, &wrong, &why);
    if (user == NULL) {
        fail(load->err, "Error in user declaration '%s': %s", wrong.data, why);
        acl_text_free(&wrong);
        return false;
    }
    acl_user_release(user);
    bool included = load->depth > 0;
    struct config_user *old = config_user_find(cfg, w->item[1]);
    if (old != NULL && old->included == included) {
        return fail(load->err,
                    "Error in user declaration '%s': Duplicate user found. A user can only be "
                    "defined once in config files",
                    w->item[1]);
    }
    if (old != NULL && included) {
        return true;
    }
    if (old == NULL) {
        cfg->user_lines = config_grow(cfg->user_lines, &cfg->user_cap, cfg->user_count + 1,
                                      sizeof(*cfg->user_lines));
        old = &cfg->user_lines[cfg->user_count++];
    } else {
        user_line_free(old);
    }
    *old = (struct config_user){.name = config_copy(w->item[1], strlen(w->item[1])),
                                .included = included,
                                .stale = has_clear_password(w)};
    old->words = words_copy(w);
    return true;
}

/* requirepass is the password of "default", unless its line has others. */
static void require_password(struct config *cfg, struct acl_user *user)
{
    const char *pass = cfg->server.requirepass;
    struct config_user *line = config_user_find(cfg, user->name);

    if (line == NULL) {
        acl_user_require(user, pass != NULL ? pass : "");
    } else if (pass != NULL && user->nopass) {
        line->stale = true;
        config_note(cfg, "Both 'user default nopass' and requirepass are configured: the password "
                         "is asked for");
        acl_user_require(user, pass);
    } else if (pass != NULL && !(acl_authenticate(user, pass, strlen(pass)) || !user->on)) {
        config_note(cfg, "requirepass is no password of 'user default', whose line counts; other "
                         "sentinels are still given it, unless there is a sentinel-pass");
    }
}

static bool put_line(struct load *load, struct acl_users *users, const struct words *w)
{
    struct acl_text wrong = {0};
    const char *why;
    struct acl_user *user = build(w->item + 1, w->count - 1, users->open_channels, &wrong, &why);

    if (user != NULL && strcmp(user->name, "default") == 0) {
        require_password(load->cfg, user);
    }
    why = user != NULL ? acl_users_put(users, user) : why;
    if (why != NULL) {
        load->err->kind = CONFIG_ERROR_FATAL;
        fail(load->err, "Error loading ACL rule '%s' for the user named '%s': %s",
             wrong.data != NULL ? wrong.data : "", w->item[1], why);
    }
    acl_text_free(&wrong);
    return why == NULL;
}

bool users_finish(struct load *load)
{
    struct config *cfg = load->cfg;

    acl_users_release(cfg->users);
    cfg->users = acl_users_new(cfg->server.acl_open_channels);
    if (config_user_find(cfg, "default") == NULL) {
        require_password(cfg, acl_users_default(cfg->users));
    }
    for (size_t i = 0; i < cfg->user_count; i++) {
        struct config_user *line = &cfg->user_lines[i];
        if (!put_line(load, cfg->users, &line->words)) {
            return false;
        }
        const struct acl_user *user = acl_users_find(cfg->users, line->name, strlen(line->name));
        line->canon = canonical(user);
    }
    return true;
}

void users_free(struct config *cfg)
{
    for (size_t i = 0; i < cfg->user_count; i++) {
        user_line_free(&cfg->user_lines[i]);
    }
    free(cfg->user_lines);
    acl_users_release(cfg->users);
}

void config_set_users(struct config *cfg, struct acl_users *users)
{
    acl_users_release(cfg->users);
    cfg->users = users;
    cfg->users_changed = true;
}

/* --- rendering ---------------------------------------------------------------------------------
 */

/* No word of the line holds a blank: names and patterns may not, and a selector's words are joined
 * again when they are read. */
static void put_canonical(const struct acl_user *user, struct config_text *out)
{
    char *line = canonical(user), *save = NULL;
    size_t start = out->len;

    for (char *word = strtok_r(line, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        config_text_add(out, out->len > start ? " " : "");
        words_quote(out, word);
    }
    config_text_add(out, "\n");
    free(line);
}

static bool unchanged(const struct config_user *line, const struct acl_user *user)
{
    char *now = canonical(user);
    bool same = line != NULL && strcmp(now, line->canon) == 0;

    free(now);
    return same;
}

void users_render_line(const struct config *cfg, const struct line *line, bool *written,
                       struct config_text *out)
{
    const char *name = layout_chars(cfg->layout, line->extra);
    const char *text = layout_chars(cfg->layout, line->text);
    const struct config_user *read = config_user_find(cfg, name);
    const struct acl_user *user = acl_users_find(cfg->users, name, strlen(name));
    size_t place = 0;

    if (cfg->server.aclfile != NULL) { /* a start with both is refused: nothing is lost by --fold */
        config_text_add(out, text);
        config_text_add(out, "\n");
        return;
    }
    while (place < cfg->users->count && cfg->users->user[place] != user) {
        place++;
    }
    if (user == NULL || written[place]) {
        return;
    }
    written[place] = true;
    if (unchanged(read, user) && !read->stale) {
        config_text_add(out, text);
        config_text_add(out, "\n");
    } else {
        put_canonical(user, out);
    }
}

void users_render_new(const struct config *cfg, const bool *written, struct config_text *out)
{
    for (size_t i = 0; i < cfg->users->count && cfg->server.aclfile == NULL; i++) {
        const struct acl_user *user = cfg->users->user[i];
        const struct config_user *read = config_user_find(cfg, user->name);
        bool elsewhere = read != NULL && read->included && unchanged(read, user);
        if (!written[i] && !elsewhere) {
            put_canonical(user, out);
        }
    }
}

void users_render_state(const struct config *cfg, struct config_text *out)
{
    if (!cfg->users_changed || cfg->server.aclfile != NULL) {
        return;
    }
    config_text_add(out, "forget-users\n");
    for (size_t i = 0; i < cfg->users->count; i++) {
        put_canonical(cfg->users->user[i], out);
    }
}

bool users_replay(struct config *cfg, const struct words *w, struct config_error *err)
{
    struct acl_users *users = strcmp(w->item[0], "forget-users") == 0
                                  ? acl_users_new(cfg->server.acl_open_channels)
                                  : acl_users_copy(cfg->users);
    struct acl_text wrong = {0};
    const char *why = NULL;

    if (strcmp(w->item[0], "user") == 0) {
        struct acl_user *user =
            w->count > 1 && acl_name_valid(w->item[1], strlen(w->item[1]))
                ? build(w->item + 1, w->count - 1, users->open_channels, &wrong, &why)
                : NULL;
        why = user != NULL ? acl_users_put(users, user) : "Not a user";
    }
    acl_text_free(&wrong);
    if (why != NULL) {
        acl_users_release(users);
        return fail(err, "%s", why);
    }
    config_set_users(cfg, users);
    return true;
}

/* --- the aclfile -------------------------------------------------------------------------------
 */

struct reading {
    const struct config *cfg;
    struct acl_users *users;
    struct config_text errors;
    bool has_default;
};

static void read_user(struct reading *r, unsigned number, struct words *w)
{
    const char *path = r->cfg->server.aclfile, *name = w->item[1], *why;
    bool is_default = strcmp(name, "default") == 0;
    struct acl_text wrong = {0};

    if (is_default ? r->has_default : acl_users_find(r->users, name, strlen(name)) != NULL) {
        config_text_printf(&r->errors, "WARNING: Duplicate user '%s' found on line %u. ", name,
                           number);
        return;
    }
    r->has_default = r->has_default || is_default;
    if (!acl_name_valid(name, strlen(name))) {
        config_text_printf(&r->errors, "%s:%u: username '%s' contains invalid characters. ", path,
                           number, name);
        return;
    }
    struct acl_user *user = build(w->item + 1, w->count - 1, r->users->open_channels, &wrong, &why);
    why = user != NULL ? acl_users_put(r->users, user) : why;
    if (why != NULL) {
        config_text_printf(&r->errors, "%s:%u: Error in applying operation '%s': %s. ", path,
                           number, wrong.data != NULL ? wrong.data : name, why);
    }
    acl_text_free(&wrong);
}

/* As stock reads it: words are apart by blanks, and quotes are letters like others. */
static void read_acl_line(struct reading *r, unsigned number, const char *line, size_t len)
{
    struct words w = {0};
    char *copy = config_copy(line, len), *save = NULL;

    for (char *word = strtok_r(copy, " \t\r", &save); word != NULL;
         word = strtok_r(NULL, " \t\r", &save)) {
        w.item = config_grow(w.item, &w.cap, w.count + 1, sizeof(*w.item));
        w.item[w.count++] = config_copy(word, strlen(word));
    }
    bool zero = memchr(line, '\0', len) != NULL;
    if (zero || (w.count > 0 && (w.count < 2 || strcmp(w.item[0], "user") != 0))) {
        config_text_printf(&r->errors,
                           "%s:%u should start with user keyword followed by the username. ",
                           r->cfg->server.aclfile, number);
    } else if (w.count > 0) {
        read_user(r, number, &w);
    }
    words_free(&w);
    free(copy);
}

struct acl_users *config_read_aclfile(const struct config *cfg, char **errors)
{
    struct reading r = {.cfg = cfg};
    unsigned number = 0;
    size_t len;
    char *text = config_slurp(cfg->server.aclfile, LIMIT_ACL_FILE, &len);

    if (text == NULL) {
        config_text_printf(&r.errors, "Error loading ACLs, opening file '%s': %s",
                           cfg->server.aclfile, strerror(errno));
        *errors = r.errors.data;
        return NULL;
    }
    r.users = acl_users_new(cfg->server.acl_open_channels);
    for (const char *p = text, *end = text + len; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop != NULL ? stop : end;
        read_acl_line(&r, ++number, p, (size_t)(stop - p));
        p = stop + 1;
    }
    free(text);
    if (r.errors.len > 0) {
        config_text_add(&r.errors, "WARNING: ACL errors detected, no change to the previously "
                                   "active ACL rules was performed");
        *errors = r.errors.data;
        acl_users_release(r.users);
        return NULL;
    }
    if (!r.has_default && cfg->server.requirepass != NULL) {
        acl_user_require(acl_users_default(r.users), cfg->server.requirepass);
    }
    return r.users;
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* The rename, too, is to outlive a crash. */
static bool sync_folder(const char *path)
{
    char *folder = config_copy(path, strlen(path)), *slash = strrchr(folder, '/');

    if (slash != NULL) {
        slash[slash == folder] = '\0';
    }
    int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

bool config_write_aclfile(const struct config *cfg)
{
    struct config_text path = {0}, text = {0};
    struct stat old;
    bool there = stat(cfg->server.aclfile, &old) == 0;

    for (size_t i = 0; i < cfg->users->count; i++) {
        char *line = canonical(cfg->users->user[i]);
        config_text_printf(&text, "%s\n", line);
        free(line);
    }
    config_text_printf(&path, "%s.tmp-%d", cfg->server.aclfile, (int)getpid());
    /* Nobody may open it before it has the mode of the old one. */
    (void)unlink(path.data);
    int fd =
        open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, there ? S_IRUSR | S_IWUSR : 0644);
    bool ok = fd >= 0 && (!there || fchmod(fd, old.st_mode & 07777) == 0) &&
              write_all(fd, text.data, text.len) && fsync(fd) == 0 &&
              rename(path.data, cfg->server.aclfile) == 0 && sync_folder(cfg->server.aclfile);
    int error = errno;
    if (fd >= 0) {
        close(fd);
        if (!ok) {
            unlink(path.data);
        }
    }
    free(path.data);
    free(text.data);
    errno = error;
    return ok;
}
