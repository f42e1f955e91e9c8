/* sd_notify(3), by hand: libreeve does without libsystemd. */
#pragma once

#define NOTIFY_TEXT_MAX 512

/* Tells who waits at $NOTIFY_SOCKET, if anybody does; it is never waited for. */
void notify_send(const char *text);
