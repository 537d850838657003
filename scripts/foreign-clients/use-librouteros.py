"""Debian's python3-librouteros behind the runner's line protocol (see use-npm.mjs)."""
import json
import os
import ssl
import sys

from librouteros import connect
from librouteros.exceptions import LibRouterosError, TrapError
from librouteros.login import plain, token
from librouteros.query import Key

MODE = os.environ['MODE']


# librouteros 3.1.0 counts characters where it should count bytes, so the text goes through it as bytes in disguise.
def wire(text):
    return text.encode().decode('latin-1')


def unwire(row):
    return {key: value.encode('latin-1').decode() if isinstance(value, str) else value for key, value in row.items()}


def wrapper():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if MODE == 'adh':
        context.set_ciphers('ADH:@SECLEVEL=0')
    return context.wrap_socket


def run(api, request):
    menu, verb = request['command'].rsplit('/', 1)
    attributes = {key: wire(value) for key, value in request['attributes'].items()}
    path = api.path(*menu.strip('/').split('/'))
    where = [Key(key) == wire(value) for key, value in request['queries'].items()]
    if verb == 'print' and (where or '.proplist' in attributes):
        names = attributes.get('.proplist', '.id,name,disabled,comment,profile').split(',')
        return [unwire(row) for row in path.select(*map(Key, names)).where(*where)]
    if verb == 'print':
        return [unwire(row) for row in path]
    if verb == 'add':
        return [{'ret': path.add(**attributes)}]
    if verb == 'set':
        path.update(**attributes)
    elif verb == 'remove':
        path.remove(attributes['.id'])
    else:
        return [unwire(row) for row in path(verb, **attributes)]
    return []


def say(answer):
    print('@' + json.dumps(answer), flush=True)


options = {'ssl_wrapper': wrapper()} if MODE in ('tls', 'adh') else {}
try:
    api = connect(
        host=os.environ['HOST'], port=int(os.environ['PORT']), encoding='latin-1', timeout=8,
        username=os.environ['LOGIN_USER'], password=os.environ['LOGIN_PASSWORD'],
        login_method=token if MODE == 'old' else plain, **options)
except (LibRouterosError, OSError, KeyError) as error:
    say({'refused': repr(error)})
    sys.exit()
say({'ready': True})
for line in sys.stdin:
    try:
        say({'rows': run(api, json.loads(line))})
    except TrapError as error:
        say({'trap': error.message})
