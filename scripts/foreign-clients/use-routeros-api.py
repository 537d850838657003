"""socialwifi's RouterOS-api behind the runner's line protocol (see use-npm.mjs): use-routeros-api.py FOLDER."""
import json
import os
import sys

sys.path.insert(0, sys.argv[1])
import routeros_api  # noqa: E402
from routeros_api.exceptions import RouterOsApiCommunicationError, RouterOsApiError  # noqa: E402

MODE = os.environ['MODE']


def make_context():
    import ssl
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers('ADH:@SECLEVEL=0')
    return context


def run(api, request):
    menu, verb = request['command'].rsplit('/', 1)
    rows = api.get_resource(menu).call(verb, request['attributes'], request['queries'])
    return list(rows) or ([rows.done_message] if rows.done_message else [])


def say(answer):
    print('@' + json.dumps(answer), flush=True)


try:
    api = routeros_api.connect(
        os.environ['HOST'], username=os.environ['LOGIN_USER'], password=os.environ['LOGIN_PASSWORD'],
        port=int(os.environ['PORT']), plaintext_login=MODE != 'old', use_ssl=MODE == 'tls', ssl_verify=False,
        ssl_context=make_context() if MODE == 'adh' else None)
except (RouterOsApiError, OSError) as error:
    say({'refused': repr(error)})
    sys.exit()
say({'ready': True})
for line in sys.stdin:
    try:
        say({'rows': run(api, json.loads(line))})
    except RouterOsApiCommunicationError as error:
        say({'trap': error.original_message.decode()})
