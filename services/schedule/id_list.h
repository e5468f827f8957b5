/* id_list.h - ids that somebody tells one by one, kept until they are used. */
#ifndef SCHEDULE_ID_LIST_H
#define SCHEDULE_ID_LIST_H

#include <stddef.h>

struct id_list {
    char **ids;
    size_t count, room;
};

/* Adds a copy; arg: a struct id_list. Ends the process when there is no memory: the restart finds the state before this turn. */
void id_list_add (const char *id, void *arg);
void id_list_fini (struct id_list *self);

#endif
