/* SPDX-License-Identifier: Apache-2.0 */
/* plan_check_admin.c - who may ask the admin address.  Takes: a loaded plan.  Gives: errors for a door without a lock, warnings for
 * one that everybody sees.  Never: shows the token. */
#include "plan/plan_draft.h"

#define TOKEN_MIN 16
#define TOKEN_MAX 4096

static bool is_loopback(const struct net_address *address)
{
    const struct ip ip = net_address_ip(address);
    char text[IP_TEXT_MAX];
    struct span span = {text, ip_format(text, &ip)};
    return span_starts_with(span, SPAN("127.")) || span_eq(span, SPAN("::1"));
}

/* Visible bytes alone: others cannot stand in a field, or would be taken away there. */
static bool is_sound(struct span token)
{
    for (size_t i = 0; i < token.len; i++)
        if (token.ptr[i] <= ' ' || token.ptr[i] > '~')
            return false;
    return token.len >= TOKEN_MIN && token.len <= TOKEN_MAX;
}

void plan_check_admin(struct plan_work *work)
{
    const struct plan *plan = &work->draft->plan;
    struct config_doc *doc = work->load->doc;
    const struct config_node *admin = config_find(doc->root, "admin");
    struct net_address address;
    if (admin == NULL || admin->kind != CONFIG_KIND_OBJECT)
        return;
    const struct config_node *token = config_find(admin, "token"),
                             *hosts = config_find(admin, "hosts"),
                             *at = config_find(admin, "address");
    bool is_known = plan->admin_address.len != 0 &&
                    net_address_parse(&address, plan->admin_address, NULL) == NULL;
    bool is_tcp = is_known && !address.is_unix;
    if (is_tcp && token == NULL)
        config_error(doc, at,
                     "a TCP address needs a \"token\" beside it: whoever reaches the port could "
                     "otherwise change everything (or use a Unix socket, \"unix:/path\")");
    if (token != NULL && plan->admin_token.ptr != NULL && !is_sound(plan->admin_token))
        config_error(doc, token, "a token has 16 to 4096 visible characters of ASCII and no space");
    if (is_tcp && !is_loopback(&address))
        config_warning(doc, at,
                       "this address can be reached from other machines, and the token crosses the "
                       "network in plain text: use a loopback address and a tunnel");
    if (is_known && !is_tcp && (token != NULL || hosts != NULL))
        config_warning(doc, token != NULL ? token : hosts,
                       "it is for a TCP address: who may use a Unix socket is a matter of its "
                       "file's mode");
}
