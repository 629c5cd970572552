"""A resident's open page: what is said to it, what it hears by itself, and how it sleeps.

A page on which nothing has been said for a while, or that only lost its line and shows what is so, sleeps: it still hears
what happens to its resident, but no session, no feed and no Redis key is held for it. It wakes when it is spoken to or
something is to be said. So ten thousand waiting pages cost one process little.
"""

import asyncio
import contextlib
import secrets
import time
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from redis.exceptions import LockError

from avatar import sessions
from avatar.exceptions import FeedReplaced
from avatar.speech_text import clauses
from avatar.streams import DEFAULT_AVATAR, client
from companion import confirming, dialogue, initiative, reopening, signin
from companion.asking import AWAY
from companion.background import in_thread
from companion.bounded_socket import BoundedSocket
from companion.dialogue import Session
from companion.events import Adjust, Event, Say, SwitchPatient, to_frame
from companion.exceptions import NotSignedIn
from companion.fanout import fanout
from companion.initiative import Due
from companion.reopening import Shown
from companion.signin import Claims

log = structlog.get_logger(__name__)

SLEEP_AFTER_S = 60
AGAIN_AFTER_S = 1.0
SAID_WITHIN_S = 15  # what a page that died was saying is said by another after it
CLOSE_NOT_SIGNED_IN = 4401
CLOSE_ELSEWHERE = 4410
CLOSE_TOO_MANY_PAGES = 4411


async def _a_moment(error: Exception) -> None:
    """What is owed to a page stays owed while something is away that it takes."""
    log.warning("page_waits", error=type(error).__name__)
    await asyncio.sleep(AGAIN_AFTER_S)


def saying_key(resident_id: UUID) -> str:
    """Which of her pages says just now what is due."""
    return f"hc:saying:{resident_id.hex}"


class SaidElsewhere(Exception):
    """Another page of hers is saying just now what is due."""


def _unless_done(task: asyncio.Task[None] | None) -> asyncio.Task[None] | None:
    return None if task is None or task.done() else task


class OpenPage(BoundedSocket):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.claims: Claims | None = None  # from the hello on
        self.page: Shown | None = None  # once the hello is answered
        self.session: Session | None = None  # while awake
        self.waking: asyncio.Task[None] | None = None
        self.dozing: asyncio.TimerHandle | None = None
        self.pumping: asyncio.Task[None] | None = None
        self.active_at = time.monotonic()
        self.known_patches = array("I")
        self.worn = DEFAULT_AVATAR  # the avatar that the page shows
        self.generation = 0
        self.index = 0  # of the next utterance within this generation
        self.turn: asyncio.Task[None] | None = None
        self.feed: sessions.Feed | None = None
        self.voice = asyncio.Lock()  # a turn and a prompt never speak into each other
        self.missed = False  # something may have happened unheard
        self.to_say = False
        self.unconfirmed: dict[int, Due] | None = None  # by number, oldest first; none where nothing waits
        self.changed: dict[str, dict[str, Any]] = {}  # by visit: the newest that is not shown yet
        self.shown: dict[str, int] = {}  # by visit: the number of events of the newest frame
        self.looking: asyncio.Task[None] | None = None
        self.refreshing: asyncio.Task[None] | None = None
        self.prompting: asyncio.Task[None] | None = None

    async def refuse(self, error: NotSignedIn) -> None:
        await self.frame(error.as_frame() | {"status": error.status_code})
        await self.close(CLOSE_NOT_SIGNED_IN)

    # --- asleep and awake ---------------------------------------------------------------------------------
    async def listen(self, claims: Claims) -> None:
        """From now on everything is heard; what is read afterwards is the newest, so nothing falls between."""
        await fanout().join(claims.resident_id, self)
        self.missed = False

    async def open_session(self, conversation: UUID | None, *, open_since: bool = False) -> Session:
        """Take the conversation over: what another page of it was saying is stale."""
        assert self.claims is not None
        resident = self.claims.resident_id
        session = await in_thread(dialogue.open_session, resident, conversation, open_since=open_since)
        self.generation = await sessions.interrupt(str(session.id))
        session.sign_in = self.claims.session_id
        self.session = session
        return session

    async def awake(self) -> Session:
        """Her session, also for a page that has slept until now."""
        if self.session is None:
            if self.waking is None:
                self.waking = self.own(self._wake())
            await asyncio.shield(self.waking)  # whoever else waits for it goes on when this one is cancelled
        assert self.session is not None
        return self.session

    async def _wake(self) -> None:
        assert self.page is not None
        try:
            await in_thread(signin.check, self.page.claims)
            session = await self.open_session(self.page.conversation_id, open_since=True)
            self.begin_to_speak(session)
            if self._about(session.patient_id):  # a consent has ended while it slept
                await self.frame(to_frame(SwitchPatient(str(session.patient_id), session.patient_name)))
            await self._change_face()
        finally:
            self.waking = None

    def _about(self, patient_id: UUID) -> bool:
        """Whom the conversation is about. Returns whether that is somebody else than before."""
        assert self.page is not None
        other = patient_id != self.page.patient_id
        if other:
            self.page = replace(self.page, patient_id=patient_id, visit_id=None, number=0)
        return other

    def begin_to_speak(self, session: Session) -> None:
        """The client knows the conversation: the avatar's packets may come."""
        self.active_at = time.monotonic()
        self.pumping = self.own(self._pump(session))
        self._doze_later(SLEEP_AFTER_S)

    def _doze_later(self, seconds: float) -> None:
        self.dozing = asyncio.get_running_loop().call_later(seconds, self._doze)

    def _doze(self) -> None:
        """Fall asleep, unless something is being said or was a moment ago."""
        if self.session is None or self.gone:
            return
        left = self.active_at + SLEEP_AFTER_S - time.monotonic()
        turns = self.turn is not None and not self.turn.done()
        if left > 0 or turns or self.voice.locked() or self.feed is None or not self.feed.silent:
            self._doze_later(max(left, SLEEP_AFTER_S / 4))
            return
        self.known_patches = array("I", sorted(self.feed.known_patches()))
        if self.pumping is not None:
            self.pumping.cancel()
        self.session = self.feed = self.pumping = self.turn = self.dozing = None
        # what has ended would be kept ten thousand times
        self.looking = _unless_done(self.looking)
        self.refreshing = _unless_done(self.refreshing)
        self.prompting = _unless_done(self.prompting)

    # --- speaking ------------------------------------------------------------------------------------------
    async def emit(self, event: Event) -> None:
        self.active_at = time.monotonic()
        frame = to_frame(event)
        if isinstance(event, Say) and event.text:
            frame["utterances"] = await self._speak(event)
        elif isinstance(event, SwitchPatient) or (isinstance(event, Adjust) and event.setting == "rate"):
            assert self.session is not None
            self.session = await in_thread(dialogue.adjusted, self.session, event)
            self._about(self.session.patient_id)
        await self.frame(frame)
        await self._change_face()

    async def _change_face(self) -> None:
        """Another hospital's avatar speaks from now on."""
        if self.session is not None and self.session.avatar != self.worn:
            self.worn = self.session.avatar
            self.known_patches = array("I")
            await self.frame({"type": "avatar", "avatar": self.worn})

    async def _speak(self, say: Say) -> list[dict[str, str]]:
        """Send each clause to the speech queue at once; returns the utterances' ids and texts, in order."""
        assert self.session is not None
        spoken = []
        for clause in clauses(say.text):
            utterance = sessions.Utterance(
                session=str(self.session.id),
                generation=self.generation,
                utterance_id=f"{self.generation}-{self.index}",
                index=self.index,
                text=clause,
                avatar=self.session.avatar,
                voice=self.session.voice,
                rate=self.session.rate,
                mood=say.mood,
                lexicon=self.session.lexicon,
            )
            self.index += 1
            spoken.append({"id": utterance.utterance_id, "text": clause})
            await sessions.speak(utterance)
        return spoken

    async def _pump(self, session: Session) -> None:
        """Write the avatar's packets to the socket for as long as it is open."""
        try:
            async with sessions.Feed(str(session.id), known_patches=self.known_patches.tolist()) as feed:
                self.feed = feed
                async for packet in feed:
                    self.active_at = time.monotonic()
                    await self.send_within(bytes_data=packet)
        except FeedReplaced:  # the same conversation was opened elsewhere: that page speaks now
            await self.close(CLOSE_ELSEWHERE)

    # --- what happens by itself ---------------------------------------------------------------------------
    def heard(self, message: dict[str, Any] | None) -> None:
        """A visit changed, or a sign-in ended (None: something may have, unheard). Of each visit only the newest waits."""
        assert self.claims is not None
        if message is None:
            self.missed = True
        elif "ended" in message:
            if message["ended"] in ("", self.claims.session_id.hex):
                self.own(self.refuse(NotSignedIn(code="token_revoked")))
            return
        elif "taken" in message:
            if self.page is not None and self.page.overtaken_by(message):
                self.own(self.close(CLOSE_ELSEWHERE))
            return
        else:
            # whatever becomes of its frame: a newer one may have nothing to say
            self.to_say |= message.get("say", True)
            visit, number = message["visit"], message.get("number", 0)
            if not number or number > max(self.shown.get(visit, 0), self.changed.get(visit, {}).get("number", 0)):
                self.changed[visit] = message
        self.catch_up()

    def begin_to_show(self, page: Shown) -> None:
        """The hello is answered; what came meanwhile follows."""
        self.page = page
        self.catch_up()

    def make_room(self) -> None:
        self.own(self.close(CLOSE_TOO_MANY_PAGES))

    def catch_up(self) -> None:
        """Begin what is owed to the page; while it is being opened, that waits."""
        if self.page is None or self.gone:
            return
        if self.missed and (self.looking is None or self.looking.done()):
            self.looking = self.own(self._look_again())
        if self.changed and (self.refreshing is None or self.refreshing.done()):
            self.refreshing = self.own(self._refresh())
        if self.to_say and (self.prompting is None or self.prompting.done()):
            self.prompting = self.own(self._say_due())

    async def _look_again(self) -> None:
        """Redis was away: does the sign-in still hold, and has anything changed?"""
        while self.missed:
            self.missed = False
            assert self.page is not None
            if await reopening.looks().unchanged(self.page):
                continue
            try:
                await in_thread(signin.check, self.page.claims)
                frame = await in_thread(dialogue.current_frame, self.page.patient_id)
            except NotSignedIn as error:
                await self.refuse(error)
                return
            except AWAY as error:
                self.missed = True
                await _a_moment(error)
                continue
            if frame is not None:
                await self._show(frame)
            self.to_say = True
            self.catch_up()

    async def _refresh(self) -> None:
        """Show what changed."""
        while self.changed:
            assert self.page is not None
            visit, message = next(iter(self.changed.items()))
            del self.changed[visit]
            if message.get("frame") is None:
                about = (self.page.claims.resident_id, self.page.patient_id, UUID(visit))
                try:
                    frame = await in_thread(dialogue.visit_frame, *about)
                except AWAY as error:
                    self.changed[visit] = message  # it reads the newest, whatever has come meanwhile
                    await _a_moment(error)
                    continue
            else:
                self.shown[visit] = message["number"]
                frame = message["frame"] if message["patient"] == str(self.page.patient_id) else None
            if frame is not None:
                await self._show(frame)

    async def _show(self, frame: dict[str, Any]) -> None:
        assert self.page is not None
        self.page = replace(self.page, visit_id=UUID(frame["visit"]), number=frame["number"])
        await self.frame(frame | {"type": "visit"})

    async def _say_due(self) -> None:
        """Say what is due, after whatever is being said."""
        try:
            while self.to_say:
                self.to_say = False
                try:
                    await self.speak_prompts()
                except SaidElsewhere:  # it may go before it is done
                    self.to_say = True
                    await asyncio.sleep(AGAIN_AFTER_S)
                except AWAY as error:
                    self.to_say = True
                    await _a_moment(error)
        except NotSignedIn as error:  # it slept, and its sign-in ended meanwhile
            await self.refuse(error)

    async def speak_prompts(self) -> None:
        """Say what is due, on one page of hers at a time. It counts as told when the page confirms it, not before: what a
        page took with it when it went, or never had, is said by the next one. Raises ``SaidElsewhere``.
        """
        async with self.voice, self._alone():
            session = await self.awake()
            assert self.page is not None
            before = await confirming.written(session.resident_id)
            under_way = {name for name, at in before.items() if at > self.page.since}
            due = await in_thread(initiative.due, session, under_way)
            for event in due.events:
                await self.emit(event)
            if self.gone or self.closed or self.dropped:
                return
            told, to_confirm = due.parted(before)
            await in_thread(initiative.told, told)
            if before and told.names:
                await confirming.forget(session.resident_id, told.names)
            if to_confirm.names:
                await self._ask_to_confirm(to_confirm)

    async def _ask_to_confirm(self, due: Due) -> None:
        assert self.page is not None
        await confirming.note(self.page.claims.resident_id, due.names)
        number = secrets.randbelow(
            confirming.NUMBERS
        )  # what a page says of an earlier connection is not taken for this one's
        self.unconfirmed = {**(self.unconfirmed or {}), number: due}
        if len(self.unconfirmed) > confirming.AT_ONCE:
            del self.unconfirmed[next(iter(self.unconfirmed))]
        await self.frame({"type": "told", "number": number})

    async def confirmed(self, number: int) -> None:
        """The page has shown or spoken what was written to it under this number. Any other number says nothing."""
        due = (self.unconfirmed or {}).pop(number, None)
        self.unconfirmed = self.unconfirmed or None
        if due is None or self.claims is None:
            return
        try:
            await in_thread(initiative.told, due)
            await confirming.forget(self.claims.resident_id, due.names)
        except AWAY as error:  # then it is said once more
            log.warning("not_confirmed", error=type(error).__name__)

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        assert self.claims is not None
        lock = client().lock(saying_key(self.claims.resident_id), timeout=SAID_WITHIN_S)
        if not await lock.acquire(blocking=False):
            raise SaidElsewhere
        try:
            yield
        finally:
            with contextlib.suppress(LockError):  # it took so long that another page may be at it by now
                await lock.release()
