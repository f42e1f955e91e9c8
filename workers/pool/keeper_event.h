/* What wakes the keeper: the data of its epoll events. A lifeline's is the
 * number of its seat behind EVENT_LIFELINE. */
#pragma once

enum keeper_event { EVENT_OWNER_GONE, EVENT_RUNG, EVENT_DEATH, EVENT_LIFELINE };
