/* id_list.c - see id_list.h */
#include "id_list.h"

#include <stdlib.h>
#include <string.h>

void id_list_add (const char *id, void *arg)
{
    struct id_list *self = arg;
    if (self->count == self->room) {
        self->room = self->room ? self->room * 2 : 16;
        self->ids = realloc (self->ids, self->room * sizeof (*self->ids));
        if (!self->ids)
            abort ();
    }
    if (!(self->ids[self->count++] = strdup (id)))
        abort ();
}

void id_list_fini (struct id_list *self)
{
    while (self->count)
        free (self->ids[--self->count]);
    free (self->ids);
    *self = (struct id_list){ NULL, 0, 0 };
}
