"""Words that may stand beside a date, besides those that the CLDR writes in dates.

Those between its parts, and those by which sites say that it is one: *last updated*.
"""

from __future__ import annotations

from typing import Final

__all__ = ["WORDS"]

WORDS: Final = frozenset(
    # between the parts of a date, and before a time
    "в о у ў u w года гада року წლის წ em stand dnia klokken ngày năm"
    " st nd rd th er re ère eme o a e º ª of the on at by since from um uhr à las les le il el"
    " kl klo às alle ore am vom de del di den der op på il la year time"
    # English
    " date last first latest originally posted published updated update created added modified"
    " written release released publish publication listed updated: reviewed revised edited"
    " changed issued submitted uploaded effective entered commented asked answered"
    # German
    " datum letzte letzter zuletzt aktualisierung aktualisiert geändert bearbeitet erstellt"
    " veröffentlicht veröffentlichung erschienen eingestellt änderung seit"
    # French
    " dernière mise mis jour modifié modifiée créé créée publié publiée publication"
    " modification posté ajouté édité"
    # Spanish and Portuguese
    " última último fecha data actualización actualizado actualizada publicado publicada"
    " publicación modificación modificado modificada creado creada creación atualização"
    " atualizado atualizada publicação modificação criado criada postado postada"
    # Italian and Romanian
    " ultimo ultima aggiornamento aggiornato aggiornata pubblicazione pubblicato pubblicata"
    " modifica modificato modificata creato inserito actualizare actualizat publicat adăugat"
    # Dutch
    " laatst laatste bijgewerkt gepubliceerd geplaatst wijziging gewijzigd aangemaakt"
    # Swedish, Danish and Norwegian
    " senast uppdaterad uppdaterat publicerad publicerat skapad ändrad sidst opdateret"
    " publiceret offentliggjort oprettet sist oppdatert publisert opprettet endret ændret"
    # Finnish and Hungarian
    " päivitetty julkaistu muokattu luotu viimeksi utolsó frissítés frissítve közzétéve dátum"
    # Polish, Czech and Slovak
    " ostatnia aktualizacja zaktualizowano opublikowano publikacji dodano dodania utworzono"
    " poslední aktualizace aktualizováno publikováno vydáno vloženo upraveno zveřejněno"
    " posledná aktualizácia aktualizované publikované"
    # Russian and Ukrainian
    " дата последнее обновление обновлено опубликовано публикации добавлено создано изменено"
    " останнє оновлення оновлено опубліковано додано створено"
    # Turkish and Greek
    " son güncelleme güncellenme güncellendi yayınlanma yayın tarihi tarih"
    " τελευταία ενημέρωση δημοσιεύτηκε δημοσίευση ημερομηνία".split()
)
