/* Main's part in ACL commands: the set of users that counts, the aclfile, ACL LOG. */
#include "log.h"
#include "mainloop_internal.h"

#include <errno.h>
#include <string.h>

struct acl_users *mainloop_users(const struct mainloop *m)
{
    return m->config->users;
}

bool mainloop_has_aclfile(const struct mainloop *m)
{
    return m->config->server.aclfile != NULL;
}

void mainloop_set_users(struct mainloop *m, struct acl_users *users)
{
    config_set_users(m->config, users);
    m->dirty = m->dirty || !mainloop_has_aclfile(m);
}

struct acl_users *mainloop_read_aclfile(struct mainloop *m, char **errors)
{
    struct acl_users *users = config_read_aclfile(m->config, errors);

    if (users == NULL) {
        log_printf(EVENT_WARNING, "%s", *errors);
    }
    return users;
}

bool mainloop_write_aclfile(struct mainloop *m)
{
    bool ok = config_write_aclfile(m->config);

    if (!ok) {
        log_printf(EVENT_WARNING, "Writing the ACL file '%s' for ACL SAVE: %s",
                   m->config->server.aclfile, strerror(errno));
    }
    return ok;
}

struct acl_log *mainloop_acl_log(struct mainloop *m)
{
    return m->acl_log;
}
