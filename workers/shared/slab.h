/* Memory in which large messages travel, used again and again.
 *
 * Properties
 *   A fresh memfd for each message is the slowest of all ways: its pages must be
 *   made. So a sender keeps some. One is free when its receiver has said so, in
 *   the word at its beginning; a receiver that died never does, and the slab is
 *   given up for another in time. The word is changed by compare-and-swap, as
 *   forked processes have the same slabs.
 *   Sealed against shrinking, so that nobody who reads it is surprised.
 *   A receiver keeps some mapped: to copy out of a file costs more than the
 *   message. It knows them again by their inode, which nobody else's memory has
 *   while it is mapped.
 * Operation
 *   sender: slab_take(), send slab->fd, slab_keep(); after a failure
 *   slab_abandon(). Receiver: slab_read(), then close the fd.
 * Safety
 *   Depot and views are used by any number of threads, without locks. A receiver
 *   may lie about the word: it then spoils what is sent to itself or its fellows.
 *   A sender may take pages out of what it has sent, and whoever reads them where
 *   they are mapped makes new ones, and pays for them: so what is mapped is
 *   bounded, and larger messages are read by calls, which make none.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_KEPT   8	  /* most of a depot */
#define SLAB_OFFSET 4096U /* of the message */
#define SLAB_VIEW_MAX                                                          \
	((size_t)8 << 20) /* room of the largest that receivers keep mapped */

struct slab {
	char *memory;
	_Atomic uint32_t *busy; /* in the slab: 0 when it is free */
	size_t room, filled;	/* filled: bytes that were written once */
	int fd;
};

struct slab_depot {
	struct slab *_Atomic kept[SLAB_KEPT];
	_Atomic uint32_t next; /* to be given up */
};

struct slab_view;

struct slab_views {
	struct slab_view *_Atomic kept[SLAB_KEPT];
	_Atomic uint32_t next; /* to be given up */
};

/* A slab that holds a copy of data. Returns 0 or -errno. */
int slab_take(struct slab_depot *depot, const void *data, size_t size,
	      struct slab **ret);

/* It was sent. Takes slab. */
void slab_keep(struct slab_depot *depot, struct slab *slab);

/* It was not. Takes slab. */
void slab_abandon(struct slab_depot *depot, struct slab *slab);

void slab_depot_done(struct slab_depot *depot);

/* Whether fd can be a slab with size bytes: 0, or -EBADMSG. */
int slab_check(int fd, size_t size);

/* Copies size bytes, as many as slab_check() was asked for, out of the slab
 * behind fd, and frees it for its sender. Returns 0, or -EBADMSG. */
int slab_read(struct slab_views *views, int fd, void *buffer, size_t size);

void slab_views_done(struct slab_views *views);
